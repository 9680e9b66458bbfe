//! The serialised shapes of domain's nouns: one copy, used by the store for its rows and by the server
//! for its answers. `domain` itself knows no serialisation, so a change of what is written is seen here.
