"""Scripts that run other tools in environments of their own; they import nothing of pertscope."""
