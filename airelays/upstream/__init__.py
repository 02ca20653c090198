"""The far side: one package or module for each kind of upstream, all behind `base.Upstream`."""
