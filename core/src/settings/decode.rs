//! Reads settings out of their tree, so that each error knows its key and its place.

use std::collections::btree_map;
use std::iter::Enumerate;
use std::marker::PhantomData;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::settings::mistake::Mistake;
use crate::settings::source::{Node, Value, child};

/// A node that is being read.
#[derive(Clone)]
pub(super) struct Decoder<'a> {
    node: &'a Node,
    /// `api.keys[0]`
    path: String,
}

/// Reads the settings from the top of their tree.
pub(super) fn read<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<T, Mistake> {
    Decoder { node, path: String::new() }.read(PhantomData)
}

impl Decoder<'_> {
    /// Whatever goes wrong with this node, its own conversions included, is said to be here.
    fn read<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mistake> {
        seed.deserialize(self.clone()).map_err(|mistake| {
            let shown = match &self.node.value {
                Value::Text(text) | Value::Variable(text) => Some(text.clone()),
                Value::Integer(number) => Some(number.to_string()),
                Value::Float(number) => Some(number.to_string()),
                Value::Boolean(_) | Value::List(_) | Value::Table(_) => None,
            };
            mistake.at(&self.node.place, &self.path, shown.as_deref())
        })
    }
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(yes) => visitor.visit_bool(*yes),
            Value::List(nodes) => visitor.visit_seq(List { nodes: nodes.iter().enumerate(), path: &self.path }),
            Value::Table(table) => visitor.visit_map(Table { entries: table.iter(), value: None, path: &self.path }),
            Value::Variable(text) => match (text.parse(), text.parse(), text.parse()) {
                (Ok(yes), _, _) => visitor.visit_bool(yes),
                (_, Ok(number), _) => visitor.visit_i64(number),
                (_, _, Ok(number)) => visitor.visit_f64(number),
                _ => visitor.visit_str(text),
            },
        }
    }

    /// A text stays one in a variable whatever it looks like: a password may be all digits.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Variable(text) => visitor.visit_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Text(text) | Value::Variable(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct List<'a> {
    nodes: Enumerate<slice::Iter<'a, Node>>,
    path: &'a str,
}

impl<'de> SeqAccess<'de> for List<'_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let next = self.nodes.next();
        next.map(|(index, node)| Decoder { node, path: format!("{}[{index}]", self.path) }.read(seed)).transpose()
    }
}

struct Table<'a> {
    entries: btree_map::Iter<'a, String, Node>,
    /// What belongs to the key that was read last.
    value: Option<Decoder<'a>>,
    path: &'a str,
}

impl<'de> MapAccess<'de> for Table<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        let value = Decoder { node, path: child(self.path, key) };
        let text: StrDeserializer<'_, Mistake> = key.as_str().into_deserializer();
        let read = seed.deserialize(text).map_err(|mistake| mistake.at(&node.place, &value.path, None));
        self.value = Some(value);
        read.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let value = self.value.take().ok_or_else(|| Mistake::custom("a value was asked for before its key"))?;
        value.read(seed)
    }
}
