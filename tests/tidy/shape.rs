//! The size of functions and files, and names that are used once: read from the syntax tree.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::source::Source;

const LONGEST_FUNCTION_LINES: usize = 60;
const DEEPEST_NESTING: usize = 4;
const MOST_PARAMETERS: usize = 4;
const LARGEST_TUPLE: usize = 2;

/// What a file's syntax tree breaks.
#[derive(Default)]
pub(crate) struct Shape {
    path: String,
    depth: usize,
    deepest: usize,
    /// `path: what is wrong`.
    pub(crate) findings: Vec<String>,
    /// The names of public types.
    pub(crate) types: Vec<String>,
}

impl Shape {
    pub(crate) fn of(source: &Source) -> Self {
        let mut shape = Self {
            path: source.path.clone(),
            ..Self::default()
        };
        let file = syn::parse_file(&source.text)
            .unwrap_or_else(|error| panic!("{}: {error}", source.path));
        shape.visit_file(&file);
        shape
    }

    fn find(&mut self, name: &str, what: &str) {
        self.findings.push(format!("{} {name}: {what}", self.path));
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let name = signature.ident.to_string();
        let lines = block.span().end().line - block.span().start().line;
        if lines > LONGEST_FUNCTION_LINES {
            self.find(&name, &format!("{lines} lines"));
        }
        let parameters = signature
            .inputs
            .iter()
            .filter(|input| matches!(input, syn::FnArg::Typed(_)))
            .count();
        if parameters > MOST_PARAMETERS {
            self.find(&name, &format!("{parameters} parameters"));
        }
        let (depth, deepest) = (self.depth, self.deepest);
        (self.depth, self.deepest) = (0, 0);
        self.visit_block(block);
        if self.deepest > DEEPEST_NESTING {
            self.find(&name, &format!("{} levels", self.deepest));
        }
        (self.depth, self.deepest) = (depth, deepest);
        if let syn::ReturnType::Type(_, kind) = &signature.output {
            self.visit_type(kind);
        }
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        inside(self);
        self.depth -= 1;
    }

    fn public(&mut self, visibility: &syn::Visibility, name: &syn::Ident) {
        if !matches!(visibility, syn::Visibility::Inherited) {
            self.types.push(name.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Shape {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_type_tuple(&mut self, item: &'ast syn::TypeTuple) {
        if item.elems.len() > LARGEST_TUPLE {
            let line = item.span().start().line;
            let what = format!("a tuple of {}", item.elems.len());
            self.find(&format!("line {line}"), &what);
        }
        visit::visit_type_tuple(self, item);
    }

    // An `else if` stands beside its `if`, not within it.
    fn visit_expr_if(&mut self, item: &'ast syn::ExprIf) {
        self.visit_expr(&item.cond);
        self.nested(|shape| shape.visit_block(&item.then_branch));
        match item.else_branch.as_ref().map(|(_, other)| &**other) {
            Some(syn::Expr::If(other)) => self.visit_expr_if(other),
            Some(other) => self.nested(|shape| shape.visit_expr(other)),
            None => {}
        }
    }

    fn visit_expr_match(&mut self, item: &'ast syn::ExprMatch) {
        self.visit_expr(&item.expr);
        self.nested(|shape| item.arms.iter().for_each(|arm| shape.visit_arm(arm)));
    }

    fn visit_expr_for_loop(&mut self, item: &'ast syn::ExprForLoop) {
        self.nested(|shape| visit::visit_expr_for_loop(shape, item));
    }

    fn visit_expr_while(&mut self, item: &'ast syn::ExprWhile) {
        self.nested(|shape| visit::visit_expr_while(shape, item));
    }

    fn visit_expr_loop(&mut self, item: &'ast syn::ExprLoop) {
        self.nested(|shape| visit::visit_expr_loop(shape, item));
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_type(self, item);
    }
}

/// Names of public types that more than one file declares.
pub(crate) fn repeated_types(shapes: &[Shape]) -> Vec<String> {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for shape in shapes {
        for name in &shape.types {
            files.entry(name).or_default().push(&shape.path);
        }
    }
    files
        .iter()
        .filter(|(_, paths)| paths.len() > 1)
        .map(|(name, paths)| format!("{name}: {}", paths.join(", ")))
        .collect()
}
