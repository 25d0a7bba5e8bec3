"""The schema and its interactive page, with every asset from this site."""

from __future__ import annotations

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView


@method_decorator(csp_update({"style-src": ["'unsafe-inline'"], "img-src": ["data:"]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI. The split view keeps its script out of the page, so that the CSP needs no `unsafe-inline` script."""


class SchemaView(SpectacularAPIView):
    """OpenAPI 3, YAML or JSON."""
