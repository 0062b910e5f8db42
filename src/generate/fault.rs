//! Faults, each put into a valid page.

use super::choices::Choices;
use super::page::{PageLine, PageLineKind, PageLines, Role, SampleParts};
use std::fmt;

/// The fault of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A sample has no value.
    MissingValue,
    /// A value is not a number of the format: `0x10`, `1_000`, `1e400`.
    InvalidValue,
    /// The last quote of a label value is missing.
    UnclosedQuote,
    /// The name of a label begins with a character that it cannot have.
    InvalidLabelName,
    /// A sample has the same label twice.
    DuplicateLabel,
    /// A line has a byte that is not UTF-8.
    InvalidUtf8,
    /// A line ends in CR LF.
    CarriageReturn,
    /// The last line does not end.
    MissingNewline,
    /// A type is not one of the format.
    UnknownType,
    /// Metadata is given twice.
    DuplicateMetadata,
    /// Metadata follows the samples of its family.
    LateMetadata,
    /// A sample follows those of another family.
    MixedFamilies,
    /// A sample is given twice.
    DuplicateSample,
    /// A histogram has no bucket for all observations.
    MissingBucket,
    /// The count of a histogram differs from its last bucket.
    CountMismatch,
    /// A bucket has fewer observations than the one before.
    DecreasingBucket,
    /// A counter is negative.
    NegativeCounter,
    /// The page does not end in `# EOF`.
    MissingEnd,
    /// Something follows `# EOF`.
    AfterEnd,
    /// A family is on a protobuf page twice.
    DuplicateFamily,
    /// The unit of a family on a protobuf page is not the end of its name.
    UnitNotInName,
    /// The count of a native histogram is not that of its buckets.
    NativeCountMismatch,
    /// The schema of a native histogram is not between -4 and 8.
    NativeSchema,
    /// The spans of a native histogram have fewer buckets than are listed.
    NativeSpans,
    /// A bucket of a native histogram has a negative count.
    NegativeBucket,
    /// A protobuf page ends within a message.
    CutOff,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingValue => "a sample has no value",
            Self::InvalidValue => "a value is not a number of the format",
            Self::UnclosedQuote => "the last quote of a label value is missing",
            Self::InvalidLabelName => "the name of a label begins with an invalid character",
            Self::DuplicateLabel => "a sample has the same label twice",
            Self::InvalidUtf8 => "a line has a byte that is not UTF-8",
            Self::CarriageReturn => "a line ends in CR LF",
            Self::MissingNewline => "the last line does not end",
            Self::UnknownType => "a type is not one of the format",
            Self::DuplicateMetadata => "metadata is given twice",
            Self::LateMetadata => "metadata follows the samples of its family",
            Self::MixedFamilies => "a sample follows those of another family",
            Self::DuplicateSample => "a sample is given twice",
            Self::MissingBucket => "a histogram has no +Inf bucket",
            Self::CountMismatch => "the count of a histogram differs from its +Inf bucket",
            Self::DecreasingBucket => "a bucket has fewer observations than the one before",
            Self::NegativeCounter => "a counter is negative",
            Self::MissingEnd => "the page does not end in # EOF",
            Self::AfterEnd => "a line follows # EOF",
            Self::DuplicateFamily => "a family is there twice",
            Self::UnitNotInName => "a unit is not the end of its family's name",
            Self::NativeCountMismatch => {
                "the count of a native histogram is not that of its buckets"
            }
            Self::NativeSchema => "the schema of a native histogram is not between -4 and 8",
            Self::NativeSpans => "the spans of a native histogram are shorter than its buckets",
            Self::NegativeBucket => "a bucket of a native histogram has a negative count",
            Self::CutOff => "the page ends within a message",
        })
    }
}

impl Fault {
    /// Every fault.
    pub const ALL: &'static [Self] = &[
        Self::MissingValue,
        Self::InvalidValue,
        Self::UnclosedQuote,
        Self::InvalidLabelName,
        Self::DuplicateLabel,
        Self::InvalidUtf8,
        Self::CarriageReturn,
        Self::MissingNewline,
        Self::UnknownType,
        Self::DuplicateMetadata,
        Self::LateMetadata,
        Self::MixedFamilies,
        Self::DuplicateSample,
        Self::MissingBucket,
        Self::CountMismatch,
        Self::DecreasingBucket,
        Self::NegativeCounter,
        Self::MissingEnd,
        Self::AfterEnd,
        Self::DuplicateFamily,
        Self::UnitNotInName,
        Self::NativeCountMismatch,
        Self::NativeSchema,
        Self::NativeSpans,
        Self::NegativeBucket,
        Self::CutOff,
    ];

    /// Those of text pages.
    pub(super) const TEXT: &'static [Self] = Self::ALL.split_at(19).0;

    /// Those of pages in OpenMetrics 2.0.
    pub(super) const OPENMETRICS2: &'static [Self] = &[
        Self::MissingValue,
        Self::InvalidValue,
        Self::UnclosedQuote,
        Self::InvalidLabelName,
        Self::DuplicateLabel,
        Self::InvalidUtf8,
        Self::CarriageReturn,
        Self::UnknownType,
        Self::DuplicateMetadata,
        Self::LateMetadata,
        Self::MixedFamilies,
        Self::DuplicateSample,
        Self::MissingBucket,
        Self::CountMismatch,
        Self::NegativeCounter,
        Self::MissingEnd,
        Self::AfterEnd,
        Self::NativeSchema,
        Self::NativeSpans,
    ];

    /// Returns the page with this fault. None if it has no place for the fault. In some
    /// places and formats, the result is not refused.
    pub(super) fn apply(self, page: &PageLines, choices: &mut Choices<'_, '_>) -> Option<Vec<u8>> {
        let mut lines = page.lines.clone();
        match self {
            Self::InvalidUtf8 => return invalid_utf8(page, choices),
            Self::MissingNewline => {
                let mut bytes = PageLines { lines }.into_bytes();
                bytes.pop();
                return Some(bytes);
            }
            Self::CarriageReturn => {
                let index = choices.below(lines.len());
                lines[index].text.push('\r');
            }
            Self::UnknownType => {
                let index = any(&lines, choices, |line| line.kind == PageLineKind::Type)?;
                let text = &mut lines[index].text;
                let word = text.rfind(' ')? + 1;
                text.replace_range(word.., choices.of(&["Counter", "number", "gauges"]));
            }
            Self::DuplicateMetadata => {
                let index = any(&lines, choices, is_metadata)?;
                lines.insert(index, lines[index].clone());
            }
            Self::DuplicateSample => {
                let index = any(&lines, choices, |line| sample(line).is_some())?;
                lines.insert(index, lines[index].clone());
            }
            Self::LateMetadata => {
                let index = any(&lines, choices, is_metadata)?;
                let family = lines[index].family;
                let end = lines.iter().rposition(|line| is_of(line, family))?;
                let line = lines.remove(index);
                lines.insert(end, line);
            }
            Self::MixedFamilies => {
                let last = lines.iter().map(|line| line.family).max()?;
                let index = any(&lines, choices, |line| {
                    line.family < last && sample(line).is_some()
                })?;
                let end = lines.iter().rposition(|line| is_of(line, last))?;
                let line = lines.remove(index);
                lines.insert(end, line);
            }
            Self::NativeSchema | Self::NativeSpans => self.change_composite(&mut lines, choices)?,
            Self::MissingBucket | Self::CountMismatch if has_composite(&lines) => {
                self.change_composite(&mut lines, choices)?;
            }
            Self::MissingBucket => {
                let index = any(&lines, choices, |line| role(line) == Some(Role::LastBucket))?;
                lines.remove(index);
            }
            Self::MissingEnd => {
                lines.pop_if(|line| line.kind == PageLineKind::End)?;
            }
            Self::AfterEnd => {
                let end = lines
                    .last()
                    .filter(|line| line.kind == PageLineKind::End)?
                    .clone();
                lines.push(end);
            }
            _ => self.change_sample(&mut lines, choices)?,
        }
        Some(PageLines { lines }.into_bytes())
    }

    /// Puts the fault into a composite value.
    fn change_composite(self, lines: &mut [PageLine], choices: &mut Choices<'_, '_>) -> Option<()> {
        let (place, change) = match self {
            Self::MissingBucket => ("+Inf:", "9e99:"),
            Self::CountMismatch => ("count:", "count:1"),
            Self::NativeSchema => (",schema:", ",schema:9"),
            _ => ("_buckets:[", "_buckets:[0,"),
        };
        let index = any(lines, choices, |line| {
            role(line) == Some(Role::CompositeHistogram) && line.text.contains(place)
        })?;
        let value = sample(&lines[index])?.value.0;
        let text = &mut lines[index].text;
        let at = value + text[value..].find(place)?;
        text.replace_range(at..at + place.len(), change);
        Some(())
    }

    /// Puts the fault into the line of a sample.
    fn change_sample(self, lines: &mut [PageLine], choices: &mut Choices<'_, '_>) -> Option<()> {
        let fits = |line: &PageLine| match self {
            Self::MissingValue | Self::InvalidValue => sample(line).is_some(),
            Self::CountMismatch => role(line) == Some(Role::Count),
            Self::DecreasingBucket => role(line) == Some(Role::Bucket),
            Self::NegativeCounter => role(line) == Some(Role::CounterTotal),
            _ => sample(line).is_some_and(|sample| sample.label.is_some()),
        };
        let index = any(lines, choices, fits)?;
        let SampleParts { label, value, .. } = sample(&lines[index])?;
        let text = &mut lines[index].text;
        let (begin, end) = label.unwrap_or_default();
        match self {
            Self::MissingValue => text.truncate(value.0),
            Self::InvalidValue => {
                let invalid = choices.of(&["0x10", "1_000", "one", "1e400", "--1", "1,5"]);
                text.replace_range(value.0..value.1, invalid);
            }
            Self::CountMismatch => text.insert(value.0, '1'),
            Self::DecreasingBucket => {
                let more = u64::MAX.to_string();
                text.replace_range(value.0..value.1, &more[..15]);
            }
            Self::NegativeCounter => text.replace_range(value.0..value.1, "-1"),
            Self::UnclosedQuote => {
                text.remove(end - 1);
            }
            Self::InvalidLabelName => text.insert(begin, choices.of(&['9', '-', '.'])),
            _ => {
                let label = text[begin..end].to_owned();
                text.insert_str(begin, &format!("{label},"));
            }
        }
        Some(())
    }
}

/// Returns the index of one of the lines for which `fits` returns true.
fn any(
    lines: &[PageLine],
    choices: &mut Choices<'_, '_>,
    fits: impl Fn(&PageLine) -> bool,
) -> Option<usize> {
    let indices = lines.iter().enumerate().filter(|(_, line)| fits(line));
    let indices: Vec<usize> = indices.map(|(index, _)| index).collect();
    (!indices.is_empty()).then(|| choices.of(&indices))
}

fn sample(line: &PageLine) -> Option<SampleParts> {
    match line.kind {
        PageLineKind::Sample(sample) => Some(sample),
        _ => None,
    }
}

fn has_composite(lines: &[PageLine]) -> bool {
    lines
        .iter()
        .any(|line| role(line) == Some(Role::CompositeHistogram))
}

fn role(line: &PageLine) -> Option<Role> {
    sample(line).map(|sample| sample.role)
}

fn is_metadata(line: &PageLine) -> bool {
    matches!(
        line.kind,
        PageLineKind::Help | PageLineKind::Type | PageLineKind::Unit
    )
}

/// Returns true for the lines of a family, not for the end of the page.
fn is_of(line: &PageLine, family: usize) -> bool {
    line.family == family && line.kind != PageLineKind::End
}

/// Puts a byte that is not UTF-8 at the end of a label value or of a help text.
fn invalid_utf8(page: &PageLines, choices: &mut Choices<'_, '_>) -> Option<Vec<u8>> {
    let has_text = |line: &PageLine| {
        line.kind == PageLineKind::Help || sample(line).is_some_and(|sample| sample.label.is_some())
    };
    let index = any(&page.lines, choices, has_text)?;
    let before: usize = page.lines[..index]
        .iter()
        .map(|line| line.text.len() + 1)
        .sum();
    let line = &page.lines[index];
    let place = match sample(line).and_then(|sample| sample.label) {
        Some((_, end)) => end - 1,
        None => line.text.len(),
    };
    let lines = page.lines.clone();
    let mut bytes = PageLines { lines }.into_bytes();
    bytes.insert(before + place, choices.of(&[0xff, 0xc0, 0x80]));
    Some(bytes)
}
