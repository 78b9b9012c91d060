//! The body of the call as a schema: a body that fits it is refused for nothing but the campaign and the calendar.

use callsweep_core::number::{Called, CustomField, SessionId};
use serde_json::{Value, json};
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, Object, ObjectBuilder, Schema, SchemaType, Type,
};

/// The schema's name in the document.
pub(super) const NAME: &str = "DeleteCall";

/// No control character: neither C0, nor DEL, nor C1.
const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// `0-9 * #`
const DIALABLE: &str = r"^[0-9*#]*$";
/// `yyyy-mm-dd hh:mm:ss`; that February has no 30th day is beyond a pattern, and answered with 0200030.
const TIME: &str = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$";

/// Each member within its limits, no other member, and at least one filter; recycleTime and recycleType together.
pub(super) fn schema() -> Schema {
    let filters = ["sessionId", "called", "customField"].map(|name| given(&[name]));
    let by_value = filters.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).build();
    let without_recycle =
        AllOfBuilder::new().item(absent(&["recycleTime", "recycleType"])).item(Schema::AnyOf(by_value)).build();
    let filtered =
        AnyOfBuilder::new().item(given(&["recycleTime", "recycleType"])).item(Schema::AllOf(without_recycle)).build();
    AllOfBuilder::new()
        .description(Some(
            "Which numbers. A number must pass every filter given, and there must be one: sessionId, called, \
             customField, or recycleTime with recycleType. `null` means not given.",
        ))
        .item(members())
        .item(Schema::AnyOf(filtered))
        .build()
        .into()
}

fn members() -> Object {
    let text = |description, max, pattern, example: &str| {
        nullable(Type::String)
            .description(Some(description))
            .min_length(Some(1))
            .max_length(Some(max))
            .pattern(Some(pattern))
            .examples([example])
    };
    ObjectBuilder::new()
        .property("sessionId", text("Equals the number's sessionId.", SessionId::MAX_CHARS, NO_CONTROL, "s0000001"))
        .property("called", text("Equals the called number.", Called::MAX_CHARS, DIALABLE, "13800000000"))
        .property(
            "customField",
            text("Equals the number's customField: a batch.", CustomField::MAX_CHARS, NO_CONTROL, "batch-001"),
        )
        .property(
            "recycleTime",
            nullable(Type::String)
                .description(Some("A wall-clock time without a zone, as stored. Comes with recycleType."))
                .pattern(Some(TIME))
                .examples(["2020-12-04 10:00:00"]),
        )
        .property(
            "recycleType",
            nullable(Type::String)
                .description(Some(
                    "`1`: recycled on the day of recycleTime or any earlier day. `2`: on that day. `3`: in that second.",
                ))
                .enum_values(Some([json!("1"), json!("2"), json!("3"), Value::Null])),
        )
        .property(
            "archiveHistory",
            nullable(Type::Integer)
                .description(Some("`1` moves the numbers to the history table, `0` deletes them outright."))
                .enum_values(Some([json!(0), json!(1), Value::Null]))
                .default(Some(json!(0))),
        )
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .build()
}

fn nullable(one: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Array(vec![one, Type::Null]))
}

/// These members are there, and are not null.
fn given(names: &[&str]) -> Object {
    let with =
        |object: ObjectBuilder, name: &&str| object.property(*name, Object::with_type(Type::String)).required(*name);
    names.iter().fold(ObjectBuilder::new(), with).build()
}

/// These members are not there, or null.
fn absent(names: &[&str]) -> Object {
    let without = |object: ObjectBuilder, name: &&str| object.property(*name, Object::with_type(Type::Null));
    names.iter().fold(ObjectBuilder::new(), without).build()
}

/// Bodies to start from.
pub(super) fn examples() -> [(&'static str, Example); 3] {
    let example = |summary, value| ExampleBuilder::new().summary(summary).value(Some(value)).build();
    [
        ("oneNumber", example("One number", json!({"sessionId": "s0000001"}))),
        (
            "batch",
            example("A batch, moved to the history table", json!({"customField": "batch-001", "archiveHistory": 1})),
        ),
        (
            "recycled",
            example(
                "What was recycled on a day or before it",
                json!({"recycleTime": "2020-12-04 00:00:00", "recycleType": "1", "archiveHistory": 1}),
            ),
        ),
    ]
}
