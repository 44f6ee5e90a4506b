//! What is said in a conversation, and how it is to be rendered.

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions before all else.
    System,
    /// Instructions in between, in models that know the role.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
    /// V4's reminder before the last words of the person.
    LatestReminder,
}

impl Role {
    /// As templates name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::LatestReminder => "latest_reminder",
        }
    }
}

/// A tool that the model called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// By which its result names it; may be empty.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments: a JSON object.
    pub arguments: String,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What the model thought before it, without the tags around it.
    pub reasoning: String,
    /// The tools that the model called.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's result answers; may be empty.
    pub tool_call_id: String,
}

impl Message {
    /// Something said, and nothing else.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let (reasoning, tool_calls, tool_call_id) = Default::default();
        Self { role, content: content.into(), reasoning, tool_calls, tool_call_id }
    }
}

/// How a conversation is rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// Whether the model may think before it answers, where it can be told: `enable_thinking` in templates, V4's
    /// thinking mode.
    pub thinking: bool,
    /// `reasoning_effort`: `max` is V4's longest; may be empty.
    pub effort: String,
    /// The tools that the model may call: each the JSON object of a function, with `name`, `description` and
    /// `parameters`.
    pub tools: Vec<String>,
    /// Seconds since 1970 for templates that write the date, which is then that of UTC; 0 takes the clock's, in local time.
    pub now: u64,
}
