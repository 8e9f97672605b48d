"""A package, since some peers that the tests compare with install a package `tests` of their own."""
