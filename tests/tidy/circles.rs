//! Imports among files: which file names which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::source::Source;

/// By file, the files whose items it names.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// The imports among these files.
pub(crate) fn imports(sources: &[Source]) -> Imports {
    let files: BTreeMap<String, String> = sources
        .iter()
        .map(|source| (module_of(&source.path).join("::"), source.path.clone()))
        .collect();
    sources
        .iter()
        .map(|source| {
            let file = syn::parse_file(&source.code)
                .unwrap_or_else(|error| panic!("{}: {error}", source.path));
            let mut reader = Reader {
                module: module_of(&source.path),
                named: BTreeSet::new(),
            };
            reader.visit_file(&file);
            let named = reader.named.iter().filter_map(|path| file_of(path, &files));
            let named = named.filter(|file| *file != source.path).collect();
            (source.path.clone(), named)
        })
        .collect()
}

/// Groups of files that import each other, directly or by way of others.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports
        .keys()
        .map(|file| (file.as_str(), reachable(file, imports)))
        .collect();
    let mut groups = BTreeSet::new();
    for (file, others) in &reached {
        if !others.contains(file) {
            continue;
        }
        let group: Vec<String> = others
            .iter()
            .filter(|other| reached[**other].contains(file))
            .map(|other| (*other).to_owned())
            .collect();
        groups.insert(group);
    }
    groups.into_iter().collect()
}

fn reachable<'a>(file: &str, imports: &'a Imports) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = imports[file].iter().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(imports[next].iter().map(String::as_str));
        }
    }
    seen
}

fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// The file of the longest module that begins the path. The crate's root only declares rooms.
fn file_of(path: &[String], files: &BTreeMap<String, String>) -> Option<String> {
    (1..=path.len())
        .rev()
        .find_map(|length| files.get(&path[..length].join("::")).cloned())
}

/// Gathers the paths that a file names, from the crate's root.
struct Reader {
    module: Vec<String>,
    named: BTreeSet<Vec<String>>,
}

impl Reader {
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut base = self.module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            _ => {}
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.path(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.path(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.tree(before, item));
            }
        }
    }

    fn path(&mut self, path: &[String]) {
        self.named.extend(self.absolute(path));
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    /// `pub(in crate::room)` names a module and imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if parts.len() > 1 {
            self.path(&parts);
        }
        visit::visit_path(self, path);
    }
}
