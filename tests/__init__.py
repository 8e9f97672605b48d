"""Tests of pertscope: a package, since some of the peers install one of this name."""
