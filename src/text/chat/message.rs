//! What is said in a conversation, and how it is to be rendered.

/// Who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Instructions before all else.
    System,
    /// Instructions in between, in models that know the role.
    Developer,
    /// The person.
    #[default]
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
    /// V4's reminder before the last words of the person.
    LatestReminder,
    /// One that a template may know: its name stands in [`Message::given`].
    Other,
}

impl Role {
    /// All that have a name of their own.
    pub const ALL: [Self; 6] =
        [Self::System, Self::Developer, Self::User, Self::Assistant, Self::Tool, Self::LatestReminder];

    /// As templates name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::LatestReminder => "latest_reminder",
            Self::Other => "other",
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
    /// Whether they were given as a text of JSON, as services do: templates that join them to a text want one.
    pub is_text: bool,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Tools that this turn brings, each the JSON object of a function: in V4's encoding, instructions may have some.
    pub tools: Vec<String>,
    /// A quick task that V4 is given with this turn, by its name (`action`, `query`, `authority`, `domain`, `title`,
    /// `read_url`); may be empty.
    pub task: String,
    /// The JSON schema that V4's answers must have, given with these instructions; may be empty.
    pub response_format: String,
    /// Whether the model is to go on with this turn of its own, so that V4 writes no end behind it.
    pub unfinished: bool,
    /// The JSON object that this message was read from, which templates are shown with all that is in it; may be empty.
    pub given: String,
}

impl Message {
    /// Something said, and nothing else.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), ..Self::default() }
    }
}

/// What a person says.
impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::new(Role::User, text)
    }
}

/// By which templates are told whether the model may think.
const THINKING: [&str; 2] = ["enable_thinking", "thinking"];

impl RenderOptions {
    /// Decides whether the model may think, whatever was asked of the template.
    pub fn insist_on(&mut self, thinking: bool) {
        self.thinking = thinking;
        if let Ok(serde_json::Value::Object(mut asked)) = serde_json::from_str(&self.arguments) {
            asked.retain(|name, _| !THINKING.contains(&name.as_str()));
            self.arguments = serde_json::Value::Object(asked).to_string();
        }
    }

    /// Whether the model may think, by what is asked of the template and else by the option.
    #[must_use]
    pub fn thinks(&self) -> bool {
        self.asked_to_think().unwrap_or(self.thinking)
    }

    /// What is asked of the template of that, if anything.
    #[must_use]
    pub fn asked_to_think(&self) -> Option<bool> {
        let asked = super::json::read("arguments of the template", &self.arguments).unwrap_or_default();
        let told = |name: &str| bool::try_from(asked.get_attr(name).ok()?).ok();
        THINKING.iter().find_map(|name| told(name))
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
    /// More that a template finds, by name: a JSON object, or nothing. `enable_thinking` in it goes before `thinking`, in V4's
    /// encoding, too.
    pub arguments: String,
    /// The tools that the model may call: each the JSON object of a function, with `name`, `description` and
    /// `parameters`.
    pub tools: Vec<String>,
    /// Seconds since 1970 for templates that write the date, which is then that of UTC; 0 takes the clock's, in local time.
    pub now: u64,
}
