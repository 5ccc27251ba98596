"""`make rules`: wraps config/alerts.yaml, which promtool reads, into the PrometheusRule that the
Prometheus Operator reads. The text, comments and all, stays as it is. Never invents a rule."""

from render import K8S, ROOT

HEAD = """\
# Written by `make rules` from config/alerts.yaml; change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lenslet
  labels:
    app.kubernetes.io/name: lenslet
spec:
"""


def written():
    """The file as it should be."""
    lines = (ROOT / "config" / "alerts.yaml").read_text().splitlines()
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    path = K8S / "components" / "prometheus-rules" / "prometheusrule.yaml"
    path.write_text(written())
    print(f"{path.relative_to(ROOT)}: written")
