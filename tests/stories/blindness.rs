//! Holdfast cannot see: nobody is paged for the tenant, nothing is rolled back.
