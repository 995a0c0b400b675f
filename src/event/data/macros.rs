//! Macros that declare the shapes of entities.

/// Declares an entity: fields before the bar are always present, fields after the bar are omitted when empty.
macro_rules! shape {
    ($(#[$meta:meta])* $name:ident { $($(#[$rmeta:meta])* $rfield:ident: $rtype:ty,)* | $($(#[$ometa:meta])* $ofield:ident: $otype:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $name {
            $($(#[$rmeta])* pub $rfield: $rtype,)*
            $($(#[$ometa])* #[serde(skip_serializing_if = "Option::is_none")] pub $ofield: Option<$otype>,)*
        }

        impl $crate::event::Weigh for $name {
            fn heap(&self) -> usize {
                0 $(+ self.$rfield.heap())* $(+ self.$ofield.heap())*
            }
        }
    };
}
/// Declares an enumeration with values in `snake_case` and the default `unknown`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$wmeta:meta])* $word:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$wmeta])* $word,)*
            /// The platform's value has no counterpart here, or a member that decides could not be read.
            #[default]
            Unknown,
        }

        impl $crate::event::Weigh for $name {
            fn heap(&self) -> usize {
                0
            }
        }
    };
}

pub(crate) use {shape, words};
