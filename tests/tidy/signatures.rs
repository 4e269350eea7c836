//! Parameters that do not say what they mean at the call site: `f(x, true)`, `f((a, b))`.

use syn::{Attribute, FnArg, ImplItem, Item, Meta, Pat, Signature, Type, Visibility};

/// A parameter and the line of its function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclear {
    pub(super) line: usize,
    pub(super) what: String,
}

/// The `bool` and tuple parameters of functions and methods with a visibility. Tests and trait impls do not count: the one is read
/// beside its calls, the other has its signature from elsewhere.
pub(super) fn unclear_parameters(source: &str) -> Vec<Unclear> {
    let mut found = Vec::new();
    items(&syn::parse_file(source).expect("a file that compiles").items, &mut found);
    found
}

fn items(items: &[Item], found: &mut Vec<Unclear>) {
    for item in items {
        match item {
            Item::Fn(item) if !is_test(&item.attrs) => function(&item.vis, &item.sig, found),
            Item::Mod(item) if !is_test(&item.attrs) => {
                self::items(item.content.as_ref().map_or(&[][..], |(_, inside)| inside), found);
            }
            Item::Impl(item) if item.trait_.is_none() && !is_test(&item.attrs) => {
                for inside in &item.items {
                    if let ImplItem::Fn(method) = inside
                        && !is_test(&method.attrs)
                    {
                        function(&method.vis, &method.sig, found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn function(visibility: &Visibility, signature: &Signature, found: &mut Vec<Unclear>) {
    if matches!(visibility, Visibility::Inherited) {
        return;
    }
    for input in &signature.inputs {
        let FnArg::Typed(parameter) = input else { continue };
        let kind = match parameter.ty.as_ref() {
            Type::Path(path) if path.path.is_ident("bool") => "bool",
            kind if is_tuple(kind) => "tuple",
            _ => continue,
        };
        let name = match parameter.pat.as_ref() {
            Pat::Ident(name) => format!(" `{}`", name.ident),
            _ => String::new(),
        };
        let line = signature.ident.span().start().line;
        found.push(Unclear { line, what: format!("`{}` has a {kind} parameter{name}", signature.ident) });
    }
}

fn is_tuple(kind: &Type) -> bool {
    match kind {
        Type::Tuple(tuple) => !tuple.elems.is_empty(),
        Type::Reference(reference) => is_tuple(&reference.elem),
        _ => false,
    }
}

/// Whether it is built for tests only: `#[cfg(test)]`, `#[cfg(any(test, …))]`, `#[test]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.clone().into_iter().any(|token| token.to_string() == "test")
        }
        Meta::NameValue(_) => false,
    })
}

#[test]
fn bool_and_tuple_parameters_of_visible_functions_are_found() {
    let source = "
pub fn a(x: bool) {}
fn private(x: bool) {}
mod inner { pub(crate) fn b((x, y): (u8, u8), z: &(u8, u8)) {} }
impl S { pub(super) fn c(&self, on: bool) {} fn d(&self, on: bool) {} }
impl T for S { fn e(&self, on: bool) {} }
#[cfg(test)] mod tests { pub fn f(x: bool) {} }
pub fn clear(x: Option<bool>, y: &[(u8, u8)], z: ()) {}
";
    let found = unclear_parameters(source);
    let told: Vec<String> = found.iter().map(|Unclear { line, what }| format!("{line} {what}")).collect();
    assert_eq!(
        told,
        [
            "2 `a` has a bool parameter `x`",
            "4 `b` has a tuple parameter",
            "4 `b` has a tuple parameter `z`",
            "5 `c` has a bool parameter `on`",
        ]
    );
}
