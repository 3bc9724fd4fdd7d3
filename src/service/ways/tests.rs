//! Members, bars and news.
