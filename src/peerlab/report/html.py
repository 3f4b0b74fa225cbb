from peerlab.report.bundle import Content
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding
def page(content: Content, evidence: Evidence, findings: tuple[Finding, ...]) -> str:
    """."""
    return "<!doctype html>"
