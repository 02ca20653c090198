"""Files of any kind: opened only if they are regular, written outside our folders without harm. Layer: I/O."""
