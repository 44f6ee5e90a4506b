//! What a JSON value stands for, and where in it a fault is. It does what the crate serde_path_to_error does, but for one
//! kind of input alone: that one wraps every part of serde in another, and they had 185 KB of code in the page.

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use std::fmt::{self, Display};
use std::vec;

/// A fault. In a box, since every type of a report has code that hands it on.
#[derive(Debug)]
pub(super) struct Fault(Box<Said>);

#[derive(Debug)]
struct Said {
    path: String,
    said: String,
}

impl Fault {
    /// The way to it from the value that was read: `.tests[1].ms_per_token`, or nothing at the value itself.
    pub(super) fn path(&self) -> &str {
        &self.0.path
    }

    /// The same fault as it is seen from a field's object.
    #[cold]
    fn in_field(mut self, name: &str) -> Self {
        self.0.path = format!(".{name}{}", self.0.path);
        self
    }

    /// The same fault as it is seen from an entry's list.
    #[cold]
    fn in_entry(mut self, index: usize) -> Self {
        self.0.path = format!("[{index}]{}", self.0.path);
        self
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.said)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    #[cold]
    fn custom<T: Display>(said: T) -> Self {
        Self(Box::new(Said { path: String::new(), said: said.to_string() }))
    }

    /// As serde says it, but in JSON's word.
    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = if found == Unexpected::Unit { Unexpected::Other("null") } else { found };
        Self::custom(format_args!("invalid type: {found}, expected {expected}"))
    }
}

/// A value whose faults are told with their place.
pub(super) struct Placed(pub(super) Value);

impl Placed {
    #[cold]
    fn unexpected(&self, expected: &dyn Expected) -> Fault {
        let found = match &self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(_) => Unexpected::Other("number"),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        de::Error::invalid_type(found, expected)
    }
}

impl<'de> Deserializer<'de> for Placed {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(values) => {
                let mut items = Items { rest: values.into_iter(), n_taken: 0 };
                let read = visitor.visit_seq(&mut items)?;
                match items.rest.len() {
                    0 => Ok(read),
                    more => Err(de::Error::custom(format!("{more} entries too many"))),
                }
            }
            Value::Object(fields) => visitor.visit_map(Fields::of(fields)),
        }
    }

    /// Only as an object: what serde makes of lists of fields would be half as much code again.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Object(fields) => visitor.visit_map(Fields::of(fields)),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(Chosen { name, content: Value::Null }),
            Value::Object(fields) if fields.len() == 1 => match fields.into_iter().next() {
                Some((name, content)) => visitor.visit_enum(Chosen { name, content }),
                None => Err(de::Error::custom("no variant")),
            },
            other => Err(Self(other).unexpected(&"a variant's name, or a map of one field called like it")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

/// The entries of a list.
struct Items {
    rest: vec::IntoIter<Value>,
    n_taken: usize,
}

impl<'de> SeqAccess<'de> for &mut Items {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let index = self.n_taken;
        self.n_taken += 1;
        seed.deserialize(Placed(value)).map(Some).map_err(|fault| fault.in_entry(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The fields of an object.
struct Fields {
    rest: <Map<String, Value> as IntoIterator>::IntoIter,
    name: String,
    value: Option<Value>,
}

impl Fields {
    fn of(fields: Map<String, Value>) -> Self {
        Self { rest: fields.into_iter(), name: String::new(), value: None }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        (self.name, self.value) = (name, Some(value));
        let key: StrDeserializer<'_, Fault> = self.name.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.in_field(&self.name))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some(value) = self.value.take() else { return Err(de::Error::custom("a value without a name")) };
        seed.deserialize(Placed(value)).map_err(|fault| fault.in_field(&self.name))
    }
}

/// One of an enum's variants.
struct Chosen {
    name: String,
    content: Value,
}

impl<'de> EnumAccess<'de> for Chosen {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Fault> {
        let name: StringDeserializer<Fault> = self.name.clone().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            Value::Null => Ok(()),
            other => Err(Placed(other).unexpected(&"a variant that holds nothing").in_field(&self.name)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let name = self.name;
        seed.deserialize(Placed(self.content)).map_err(|fault| fault.in_field(&name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        let name = self.name;
        Placed(self.content).deserialize_any(visitor).map_err(|fault| fault.in_field(&name))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.tuple_variant(0, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        number: Option<f64>,
        list: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Inner {
        Nothing,
        One(u8),
        Pair(u8, i8),
        Named { text: String },
    }

    fn read(value: Value) -> Result<Outer, String> {
        Outer::deserialize(Placed(value)).map_err(|fault| format!("{}: {fault}", fault.path()))
    }

    #[test]
    fn it_reads_what_serde_json_reads() {
        for value in [
            json!({"number": null, "list": []}),
            json!({"number": 7, "list": ["Nothing", {"One": 3}, {"Pair": [1, -1]}, {"Named": {"text": "a"}}]}),
            json!({"list": [{"Nothing": null}], "number": -1.5}),
        ] {
            assert_eq!(read(value.clone()), Ok(serde_json::from_value(value).unwrap()));
        }
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (value, expected) in [
            (json!({"number": "x", "list": []}), ".number: invalid type: string \"x\""),
            (json!({"list": ["Nothing", {"One": 300}]}), ".list[1].One: invalid value"),
            (json!({"list": [{"Named": {"text": 1}}]}), ".list[0].Named.text: invalid type"),
            (json!({"list": [{"Pair": [1]}]}), ".list[0].Pair: invalid length 1"),
            (json!({"list": [{"Pair": [1, 2, 3]}]}), ".list[0].Pair: 1 entries too many"),
            (json!({"list": ["Other"]}), ".list[0]: unknown variant `Other`"),
            (json!({"list": [{"Nothing": 1}]}), ".list[0].Nothing: invalid type: number"),
            (json!({"list": [7]}), ".list[0]: invalid type: number, expected a variant's name"),
            (json!({"list": null}), ".list: invalid type: null, expected a sequence"),
            (json!({"lost": [], "list": []}), ".lost: unknown field"),
            (json!({"number": 1}), ": missing field `list`"),
            (json!(7), ": invalid type: number, expected struct Outer"),
        ] {
            assert!(serde_json::from_value::<Outer>(value.clone()).is_err(), "{value}");
            let found = read(value).unwrap_err();
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
    }
}
