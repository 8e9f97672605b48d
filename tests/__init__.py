"""Tests of pertscope. A package, since some of the peers that they compare with install a `tests` of their own."""
