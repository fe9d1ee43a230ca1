"""Pages for people: the console at `/`, its files and sessions, and the API's pages at `/docs`.

`static/` has the page's own modules, which the browser loads as they are, and in `static/vendor/`
those of others, with their licences and sums; `make vendor` fetches these anew.

Others use `page`.
"""
