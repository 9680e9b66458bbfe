//! The one macro: a list of fields makes a shape and both conversions.

/// Declares the shape of a struct of `domain`: its fields with *domain's* types, in order. Every field must
/// be named, or it does not compile: nothing is forgotten on the way. Attributes go to the shape's field
/// (`#[serde(rename = "over_seconds")]`).
macro_rules! shape {
    ($(
        $(#[$doc:meta])*
        $name:ident of $noun:path {
            $($(#[$attribute:meta])* $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[$attribute])*
                #[doc = concat!("See `", stringify!($noun), "::", stringify!($field), "`.")]
                pub $field: <$type as $crate::wire::Wire>::Shape,
            )*
        }

        impl $crate::wire::Wire for $noun {
            type Shape = $name;

            fn show(&self) -> $name {
                let Self { $($field,)* } = self;
                $name { $($field: $crate::wire::Wire::show($field),)* }
            }

            fn read(shape: $name) -> Result<Self, $crate::wire::Unreadable> {
                let $name { $($field,)* } = shape;
                Ok(Self {
                    $($field: $crate::wire::Wire::read($field)
                        .map_err(|error| error.inside(stringify!($field)))?,)*
                })
            }
        }

        impl From<&$noun> for $name {
            fn from(noun: &$noun) -> Self {
                $crate::wire::Wire::show(noun)
            }
        }
    )*};
}

/// Nouns written as text: through `Display` and `FromStr`.
macro_rules! text {
    ($($noun:ty)*) => {$(
        impl $crate::wire::Wire for $noun {
            type Shape = String;

            fn show(&self) -> String {
                self.to_string()
            }

            fn read(shape: String) -> Result<Self, $crate::wire::Unreadable> {
                shape.parse().map_err($crate::wire::Unreadable::new)
            }
        }
    )*};
}

/// Enums written as their names: through `as_str` and a reader of names.
macro_rules! named {
    ($($noun:ty, $what:literal, $parse:expr;)*) => {$(
        impl $crate::wire::Wire for $noun {
            type Shape = std::borrow::Cow<'static, str>;

            fn show(&self) -> Self::Shape {
                std::borrow::Cow::Borrowed(self.as_str())
            }

            fn read(shape: Self::Shape) -> Result<Self, $crate::wire::Unreadable> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(&shape).ok_or_else(|| {
                    $crate::wire::Unreadable::new(format!("`{shape}` is no {}", $what))
                })
            }
        }
    )*};
}

/// Values that are their own shape.
macro_rules! plain {
    ($($noun:ty)*) => {$(
        impl $crate::wire::Wire for $noun {
            type Shape = $noun;

            fn show(&self) -> $noun {
                self.clone()
            }

            fn read(shape: $noun) -> Result<Self, $crate::wire::Unreadable> {
                Ok(shape)
            }
        }
    )*};
}

pub(super) use {named, plain, shape, text};
