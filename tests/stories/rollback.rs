//! A bad release is rolled back, exactly once, and everybody is told.
