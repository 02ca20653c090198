"""Every adaptation that a request map makes for a client, by the name that `x-airelays-quirks` shows. Layer: rules."""

from __future__ import annotations

__all__ = ["QUIRKS"]

QUIRKS = {
    "arguments_object": "the arguments of a replayed call are an object; they are sent as its JSON text",
    "cache_control_ignored": "cache_control marks on content parts are left out; the upstream caches prompts by itself",
    "codex_keepalive_events": "the Codex CLI gets keep-alives as events; comments do not reset its timer",
    "codex_refusals_as_text": "the Codex CLI gets refusals as text; it cannot read refusal parts",
    "content_object": "content was one part; it is read as an array of one part",
    "context_phrase_added": "the error for a full context also says it in the words by which LiteLLM knows it",
    "effort_mapped": "the reasoning effort is a word that current models do not take; the nearest is sent",
    "empty_content": "a message without content is sent as an empty text, or left out if it holds tool calls",
    "flat_tools": "chat tools in the flat form of the Responses API are read",
    "input_schema_read": "a tool has its parameters under Anthropic's name input_schema",
    "legacy_functions": "functions and function_call of 2023 are served as tools; the answer uses function_call",
    "max_tokens_raised_to_16": "the upstream refuses output limits under 16 tokens; 16 is sent",
    "max_tokens_unlimited": "a limit of -1 means none, as at llama.cpp and LM Studio",
    "message_name_dropped": "the name of a message's author is left out; the upstream has no field for it",
    "nested_tools": "Responses tools in the nested form of the chat API are read",
    "reasoning_without_content_dropped": "replayed reasoning without encrypted content is left out",
    "responses_body_on_chat": "a Responses body on the chat route is served and answered as a chat completion",
    "system_to_developer": "system messages inside a Responses input are sent as developer messages",
    "thinking_parts_dropped": "replayed thinking parts of other vendors are left out",
    "tool_choice_mapped": "the tool choice is in another vendor's spelling; the same choice is sent in ours",
}
"""Names and what each means, for `airelays quirks`."""
