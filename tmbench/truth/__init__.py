"""Truth: what fine-tuning a source on a target really reaches. One module a task."""
