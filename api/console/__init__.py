"""The console: the page for people at `/`, its files, and the sessions that stand for keys there.

`static/` has the page's own modules, which the browser loads as they are, and in `static/vendor/`
those of others, with their licences and sums; `make vendor` fetches these anew.

Others use `page`.
"""
