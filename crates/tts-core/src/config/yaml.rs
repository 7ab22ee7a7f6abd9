//! A YAML text as a tree of nodes that know their line.
//!
//! Aliases share their node instead of copying it and the depth is limited, so no text makes the
//! tree larger than itself. Scalars stay text with the information whether they were quoted: what
//! a text means is decided where a key is read, so that an error can quote it.

use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle};

/// Sections nest three deep, lists one more; a text that goes deeper is no config.
const MAX_DEPTH: usize = 16;

/// A value and the line it starts at.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// `plain` scalars may be numbers, booleans or null; quoted ones are texts.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Rc<Node>,
}

/// What is wrong with a text, and where, with lines counted from 1.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: Option<usize>,
    pub(super) text: String,
}

fn problem<T>(line: usize, text: impl Into<String>) -> Result<T, Problem> {
    Err(Problem {
        line: Some(line),
        text: text.into(),
    })
}

/// A list or mapping whose end has not come yet.
struct Open {
    line: usize,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Rc<Node>>),
    /// The entries, and the key whose value comes next.
    Mapping(Vec<Entry>, Option<String>),
}

/// Reads a text that holds one document; `None` if it holds nothing.
pub(super) fn parse(text: &str) -> Result<Option<Rc<Node>>, Problem> {
    let mut tree = Tree::default();
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| Problem {
            line: Some(error.marker().line()),
            text: format!("no valid YAML: {}", error.info()),
        })?;
        tree.take(event, span.start.line())?;
    }
    Ok(tree.root)
}

#[derive(Default)]
struct Tree {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    /// Nodes by the number of their anchor, which counts up from 1.
    anchors: Vec<(usize, Rc<Node>)>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), line)?;
                let value = Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.add(Rc::new(Node { line, value }), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), line)?;
                self.start(Open {
                    line,
                    anchor,
                    kind: OpenKind::Sequence(Vec::new()),
                })
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), line)?;
                self.start(Open {
                    line,
                    anchor,
                    kind: OpenKind::Mapping(Vec::new(), None),
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::Alias(anchor) => match self.anchors.iter().find(|(known, _)| *known == anchor) {
                Some((_, node)) => self.add(Rc::clone(node), 0),
                None => problem(line, "an alias stands inside of what it refers to"),
            },
            _ => Ok(()),
        }
    }

    fn start(&mut self, open: Open) -> Result<(), Problem> {
        if self.open.len() == MAX_DEPTH {
            return problem(open.line, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Problem> {
        let Some(Open { line, anchor, kind }) = self.open.pop() else {
            return problem(line, "a list or section ends that did not start");
        };
        let value = match kind {
            OpenKind::Sequence(items) => Value::Sequence(items),
            OpenKind::Mapping(entries, _) => Value::Mapping(entries),
        };
        self.add(Rc::new(Node { line, value }), anchor)
    }

    /// Adds a finished node to what it stands in.
    fn add(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.push((anchor, Rc::clone(&node)));
        }
        let line = node.line;
        match self.open.last_mut().map(|open| &mut open.kind) {
            None if self.root.is_some() => {
                return problem(
                    line,
                    "a second document starts here; a config file holds one",
                );
            }
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Mapping(entries, pending)) => match pending.take() {
                Some(key) => entries.push(Entry { key, value: node }),
                None => {
                    let Value::Scalar { text, .. } = &node.value else {
                        return problem(line, "a list or section stands where a key is expected");
                    };
                    if entries.iter().any(|entry| entry.key == *text) {
                        return problem(
                            line,
                            format!("the key `{}` is given twice", shorten(text)),
                        );
                    }
                    *pending = Some(text.clone());
                }
            },
        }
        Ok(())
    }
}

fn refuse_tag(has_tag: bool, line: usize) -> Result<(), Problem> {
    if has_tag {
        problem(line, "a YAML tag (`!…`); a config file holds none")
    } else {
        Ok(())
    }
}

/// A text cut to a length that an error message can quote.
pub(super) fn shorten(text: &str) -> String {
    /// Longer than every key and number, short enough for one line of a terminal.
    const LONGEST: usize = 60;
    let mut chars = text.chars();
    let start: String = chars
        .by_ref()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if chars.next().is_some() {
        start + "…"
    } else {
        start
    }
}
