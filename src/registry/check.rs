//! The checks of a family that do not depend on other families.

use super::RegisterErrorKind;
use crate::MetricType;
use crate::cell::States;
use crate::family::{Descriptor, Shape, ends_in_unit};
use crate::name::{
    self, Escaping, NameError, NameRules, is_unit, written_label_name, written_metric_name,
};

/// Checks the name, the unit, the states and the labels of a family.
pub(super) fn check_descriptor(
    descriptor: &Descriptor,
    rules: NameRules,
) -> Result<(), RegisterErrorKind> {
    name::check_metric_name(&descriptor.name, rules).map_err(RegisterErrorKind::Name)?;
    if let Some(unit) = &descriptor.unit {
        check_unit(unit, &descriptor.name, descriptor.metric_type)?;
    }
    if let Shape::StateSet { states } = &descriptor.shape {
        check_states(states, &descriptor.name)?;
    }
    check_labels(descriptor, rules)
}

/// Checks what a cell says about itself, which may be of the user's making: the
/// writer relies on it. A cell may read more than the one number that is shown.
pub(super) fn check_shape(
    shape: &Shape,
    metric_type: MetricType,
    read: usize,
) -> Result<(), RegisterErrorKind> {
    let shown = shape.width();
    if read != shown && !(matches!(shape, Shape::Single(_)) && read > shown) {
        return Err(RegisterErrorKind::Width { shown, read });
    }
    match shape.is_valid_for(metric_type) {
        true => Ok(()),
        false => Err(RegisterErrorKind::Shape),
    }
}

/// Checks the unit of a family. `name` is without suffix.
fn check_unit(unit: &str, name: &str, metric_type: MetricType) -> Result<(), RegisterErrorKind> {
    if !metric_type.may_have_unit() {
        return Err(RegisterErrorKind::UnitNotAllowed);
    }
    let unit = unit.to_owned();
    if !is_unit(&unit) {
        return Err(RegisterErrorKind::UnitCharacters { unit });
    }
    match ends_in_unit(name, &unit) {
        true => Ok(()),
        false => Err(RegisterErrorKind::Unit { unit }),
    }
}

/// Checks the states of a state set, and that its name is valid as a label name.
fn check_states(states: &[String], name: &str) -> Result<(), RegisterErrorKind> {
    let count = states.len();
    if States::new(count).is_err() {
        return Err(RegisterErrorKind::States { count });
    }
    for (index, state) in states.iter().enumerate() {
        if states[..index].contains(state) {
            let state = state.clone();
            return Err(RegisterErrorKind::DuplicateState { state });
        }
    }
    let is_label =
        |escaping| written_label_name(name, escaping) == written_metric_name(name, escaping);
    if name.starts_with("__") || !Escaping::ALL.into_iter().all(is_label) {
        return Err(RegisterErrorKind::StateLabel);
    }
    Ok(())
}

/// Checks the names of all labels, constant ones included.
fn check_labels(descriptor: &Descriptor, rules: NameRules) -> Result<(), RegisterErrorKind> {
    let added = descriptor.added_label();
    let labels: Vec<&String> = descriptor
        .const_labels
        .iter()
        .map(|(label, _)| label)
        .chain(&descriptor.label_names)
        .collect();
    for (index, label) in labels.iter().enumerate() {
        let refused = |error| RegisterErrorKind::Label {
            label: label.to_string(),
            error,
        };
        name::check_label_name(label, rules).map_err(refused)?;
        if added.is_some_and(|added| written_alike(added, label)) {
            return Err(refused(NameError::Reserved));
        }
        if labels[..index]
            .iter()
            .any(|other| written_alike(other, label))
        {
            let label = label.to_string();
            return Err(RegisterErrorKind::DuplicateLabel { label });
        }
    }
    Ok(())
}

/// Returns true if some escaping writes two label names alike.
fn written_alike(one: &str, other: &str) -> bool {
    Escaping::ALL
        .into_iter()
        .any(|escaping| written_label_name(one, escaping) == written_label_name(other, escaping))
}
