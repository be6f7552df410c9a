"""The columns of a frame of interaction records, and what each holds. Apart from ``frames``, which needs pandas."""

COLUMNS = {
    "id": "text",
    "time": "time",
    "user": "text",
    "token_id": "text",
    "flow_run_id": "text",
    "text": "text",
    "prompt_length": "number",
    "response_length": "number",
    "non_letter_share": "number",
    "latency_ms": "number",
    "prompt_tokens": "number",
    "response_tokens": "number",
    "model_version": "text",
    "router_label": "text",
    "router_confidence": "number",
    "router_version": "text",
    "feedback": "text",
}
