//! The texts of answers, in English and in Chinese: what follows the text of the code.

use std::borrow::Cow;

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::invalid::{InvalidParameter, Problem};
use callsweep_core::result_code::Locale;
use callsweep_core::rules::Barred;

/// What a code's text alone does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A parameter, by its name.
    Parameter(InvalidParameter),
    /// The campaign does not exist there.
    NoSuchCampaign(VdnId, CampaignId),
    /// The campaign bars all its numbers.
    CampaignExecuting,
    /// Some or all numbers stayed.
    Stayed(Barred),
    /// More numbers would go than the key may remove by one call.
    MaxRows {
        /// How many would go.
        numbers: i64,
        /// How many may.
        max: i64,
    },
    /// What is wrong with the HTTP around the call: in English and in Chinese.
    Http(&'static str, &'static str),
}

impl Detail {
    pub(super) fn text(&self, locale: Locale) -> Cow<'static, str> {
        match (self, locale) {
            (Self::Parameter(invalid), Locale::EnUs) => invalid.to_string().into(),
            (Self::Parameter(invalid), Locale::ZhCn) => parameter_in_chinese(invalid).into(),
            (Self::NoSuchCampaign(vdn, campaign), Locale::EnUs) => {
                format!("campaignId: there is no campaign {campaign} in VDN {vdn}").into()
            }
            (Self::NoSuchCampaign(vdn, campaign), Locale::ZhCn) => {
                format!("campaignId：VDN {vdn}中没有外呼活动{campaign}").into()
            }
            (Self::CampaignExecuting, Locale::EnUs) => "campaignId: the campaign is executing".into(),
            (Self::CampaignExecuting, Locale::ZhCn) => "campaignId：外呼活动正在执行".into(),
            (Self::Stayed(barred), Locale::EnUs) => barred.to_string().into(),
            (Self::Stayed(barred), Locale::ZhCn) => stayed_in_chinese(*barred).into(),
            (Self::MaxRows { numbers, max }, Locale::EnUs) => {
                format!("{numbers} numbers are more than the {max} that one call may remove").into()
            }
            (Self::MaxRows { numbers, max }, Locale::ZhCn) => {
                format!("{numbers}个号码，超过单次请求允许删除的{max}个").into()
            }
            (Self::Http(english, _), Locale::EnUs) => (*english).into(),
            (Self::Http(_, chinese), Locale::ZhCn) => (*chinese).into(),
        }
    }
}

/// "3个号码未删除：2个通话中，1个呼叫已完成"
fn stayed_in_chinese(barred: Barred) -> String {
    let Barred { call_ongoing, call_completed, ongoing_task, unknown_status } = barred;
    let reasons = [
        ("通话中", call_ongoing),
        ("呼叫已完成", call_completed),
        ("在进行中的任务中", ongoing_task),
        ("状态未知", unknown_status),
    ];
    let reasons: Vec<String> = reasons
        .iter()
        .filter(|(_, numbers)| *numbers > 0)
        .map(|(reason, numbers)| format!("{numbers}个{reason}"))
        .collect();
    format!("{}个号码未删除：{}", barred.total(), reasons.join("，"))
}

fn parameter_in_chinese(InvalidParameter { name, problem }: &InvalidParameter) -> String {
    let problem: Cow<'static, str> = match problem {
        Problem::Empty => "不能为空".into(),
        Problem::Characters => "包含不允许的字符".into(),
        Problem::TooLong { max_chars } => format!("超过{max_chars}个字符").into(),
        Problem::Type(_) | Problem::Value(_) => format!("必须是{}", allowed_in_chinese(name, problem)).into(),
        Problem::NotADateTime => "必须是真实的日期和时间，格式为yyyy-mm-dd hh:mm:ss".into(),
        Problem::Without(other) => format!("必须与{other}同时设置").into(),
        Problem::Unknown => "不是此接口的参数".into(),
        Problem::Repeated => "重复".into(),
        Problem::TooMany { max } => format!("参数超过{max}个").into(),
        // The reason is the parser's own and has no translation.
        Problem::NotJson(reason) => format!("不是有效的UTF-8编码的JSON：{reason}").into(),
    };
    format!("{name}：{problem}")
}

fn allowed_in_chinese(name: &str, problem: &Problem) -> &'static str {
    match (name, problem) {
        ("vdnId", _) => "1到9999的整数",
        ("campaignId", _) => "1到9223372036854775807的整数",
        ("archiveHistory", _) => "整数0或1",
        ("recycleType", Problem::Value(_)) => "\"1\"、\"2\"或\"3\"",
        (super::body::BODY, _) => "JSON对象",
        _ => "字符串",
    }
}

#[cfg(test)]
mod tests {
    use callsweep_core::result_code::ResultCode;

    use super::super::answer::Answer;
    use super::*;

    #[test]
    fn the_text_of_the_code_comes_first_and_the_detail_names_the_parameter() {
        let answer = Answer::from(InvalidParameter::new("called", Problem::TooLong { max_chars: 24 }));
        let english = "The parameter length cannot exceed the maximum length. called: is longer than 24 characters";
        assert_eq!(answer.description(Locale::EnUs), english);
        assert_eq!(answer.description(Locale::ZhCn), "参数长度不能超过最大长度。called：超过24个字符");
    }

    #[test]
    fn a_success_has_no_text_unless_numbers_stayed() {
        let success = Answer::of(ResultCode::Success, 5);
        assert_eq!(success.description(Locale::EnUs), "");
        let barred = Barred { call_ongoing: 2, call_completed: 1, ..Barred::default() };
        let partly = success.with(Detail::Stayed(barred));
        assert_eq!(partly.description(Locale::EnUs), "3 stayed: 2 call ongoing, 1 call completed");
        assert_eq!(partly.description(Locale::ZhCn), "3个号码未删除：2个通话中，1个呼叫已完成");
    }

    #[test]
    fn every_problem_has_a_chinese_text() {
        let problems = [
            Problem::Empty,
            Problem::Characters,
            Problem::TooLong { max_chars: 1 },
            Problem::Type("x"),
            Problem::Value("x"),
            Problem::NotADateTime,
            Problem::Without("recycleTime"),
            Problem::Unknown,
            Problem::Repeated,
            Problem::TooMany { max: 6 },
        ];
        for problem in problems {
            let text = parameter_in_chinese(&InvalidParameter::new("recycleType", problem));
            let rest = text.strip_prefix("recycleType：").unwrap();
            assert!(!rest.is_ascii() && !rest.contains('x'), "{text}");
        }
    }
}
