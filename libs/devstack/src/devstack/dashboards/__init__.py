"""Grafana's dashboards as code: `python -m devstack.dashboards` writes them into `deploy/dashboards/`."""
