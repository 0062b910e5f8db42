//! The Python extension module of stethoscope, and the catalogue of Dask's
//! metrics that it fills.
//!
//! | module | contents |
//! |---|---|
//! | [`dask`] | the families of Dask's schedulers and workers, and their cells |
//! | `mirror` | a registry that repeats another library's metrics |
//! | `native` | the classes that Python sees, with the feature `extension` |

pub mod dask;
mod instant;
#[cfg(any(feature = "extension", test))]
mod mirror;
#[cfg(feature = "extension")]
mod native;
