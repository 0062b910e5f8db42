//! The Python extension module of stethoscope, and the catalogue of Dask's
//! metrics that it fills.
//!
//! | module | contents |
//! |---|---|
//! | [`dask`] | the families of Dask's schedulers and workers, and their cells |
//! | `native` | the classes that Python sees, with the feature `extension` |

pub mod dask;
#[cfg(feature = "extension")]
mod native;
