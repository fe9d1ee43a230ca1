"""The API's pages for people, without any outside address: they work with no network."""

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

# The page needs inline script and style; that it loads nothing from outside is the browser's
# to enforce, not only ours to promise.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_routes() -> list[BaseRoute]:
    """`/docs`, and below it the files of Swagger UI that the package fastapi-offline ships."""
    assets = StaticFiles(packages=[("fastapi_offline", "static")])
    return [Route("/docs", _page), Mount("/docs/assets", assets)]


async def _page(request: Request) -> Response:
    # Relative addresses hold below any prefix that a proxy adds.
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=request.app.title,
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["Content-Security-Policy"] = _POLICY
    return page
