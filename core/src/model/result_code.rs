//! The result codes of the vendor's page, table 5, and their mapping from parameter errors.

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Serialize, Serializer};

use crate::model::column::text_column_sql;
use crate::model::invalid::{InvalidParameter, Problem};

/// A language for the text of a code: the header `locale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locale {
    /// `en_US`, the default.
    #[default]
    EnUs,
    /// `zh_CN`.
    ZhCn,
}

macro_rules! result_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $en:literal, $zh:literal;)*) => {
        /// A result code of the vendor's page.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
        #[diesel(sql_type = Text)]
        pub enum ResultCode {
            $(
                $(#[$doc])*
                #[doc = concat!("`", $code, "`")]
                $variant,
            )*
        }

        impl ResultCode {
            /// Every code, in the order of the vendor's page, success first.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            /// The code as responses contain it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The text of the code on the vendor's page. Empty for success.
            #[must_use]
            pub fn text(self, locale: Locale) -> &'static str {
                match (self, locale) {
                    $(
                        (Self::$variant, Locale::EnUs) => $en,
                        (Self::$variant, Locale::ZhCn) => $zh,
                    )*
                }
            }
        }
    };
}

result_codes! {
    /// Success.
    Success = "0200000", "", "";
    /// Any error without a code of its own.
    ParameterError = "0200001",
        "Parameter error. For details about the error, see resultDesc.",
        "参数错误，具体错误信息请参见resultDesc。";
    /// The database failed or is unreachable.
    DatabaseError = "0200006", "Database operation error.", "数据库操作错误。";
    /// The campaign does not exist in this VDN.
    NoSuchCampaign = "0200007", "The outbound campaign does not exist.", "外呼活动不存在。";
    /// The state of the campaign or number forbids the deletion (contract, section 3).
    StateForbids = "0200028",
        "The number cannot be deleted in the current state.",
        "当前状态下不允许删除号码。";
    /// Not an existing date and time.
    TimeFormat = "0200030", "The time format is incorrect.", "时间格式不正确。";
    /// No filter, an empty string, an empty body.
    Empty = "02000001", "Empty parameter.", "参数为空。";
    /// Characters that are not allowed.
    Characters = "02000002", "The parameter contains invalid characters.", "参数包含非法字符。";
    /// Too long.
    TooLong = "02000003",
        "The parameter length cannot exceed the maximum length.",
        "参数长度不能超过最大长度。";
    /// On the vendor's shared list; no input of this call can cause it.
    TooShort = "02000004",
        "The parameter length cannot be less than the minimum length.",
        "参数长度不能小于最小长度。";
    /// On the vendor's shared list; no input of this call can cause it.
    LengthRange = "02000005",
        "The parameter length must be within the specified range.",
        "参数长度必须在指定范围内。";
    /// Wrong JSON type, or a path segment that is not an integer.
    Type = "02000006", "Incorrect parameter type.", "参数类型不正确。";
    /// Outside the allowed values.
    Value = "02000007", "Incorrect parameter value.", "参数取值不正确。";
    /// Not JSON, not UTF-8, nested too deep, a byte-order mark.
    Conversion = "02000008",
        "Parameter conversion error. Check the request parameters.",
        "参数转换错误，请检查请求参数。";
    /// Only one of recycleTime and recycleType.
    Combination = "02000009",
        "Incorrect parameter combination. Check the request parameters.",
        "参数组合不正确，请检查请求参数。";
    /// On the vendor's shared list; no input of this call can cause it.
    HourAndMinute = "02000010",
        "The hour and minute parameters must be set at the same time.",
        "小时和分钟参数必须同时设置。";
    /// More than six members.
    TooMany = "02000011",
        "The number of parameters cannot exceed the specified number.",
        "参数个数不能超过指定个数。";
}

text_column_sql!(ResultCode);

impl Serialize for ResultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<&InvalidParameter> for ResultCode {
    fn from(error: &InvalidParameter) -> Self {
        match error.problem {
            Problem::Empty => Self::Empty,
            Problem::Characters => Self::Characters,
            Problem::TooLong { .. } => Self::TooLong,
            Problem::Type(_) => Self::Type,
            Problem::Value(_) => Self::Value,
            Problem::NotADateTime => Self::TimeFormat,
            Problem::Without(_) => Self::Combination,
            Problem::Unknown | Problem::Repeated => Self::ParameterError,
            Problem::TooMany { .. } => Self::TooMany,
            Problem::NotJson(_) => Self::Conversion,
        }
    }
}
