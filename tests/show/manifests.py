"""The Dockerfile and everything under k8s/ pass their validators: hadolint, the schemas of several
Kubernetes versions, our own rules, `lenslet check-config` over what every pod would be told. This
is `make check-deploy`, whose every line is a requirement here."""

import subprocess

from harness import LENSLET, ROOT, Show, need

if __name__ == "__main__":
    show = Show("manifests: Dockerfile and k8s/ pass their validators")
    need(LENSLET)
    done = subprocess.run(["make", "--no-print-directory", "-C", ROOT, "check-deploy"], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    for number, line in enumerate(lines):
        verdict, _, requirement = line.partition(" ")
        if verdict == "--":
            show.note(requirement)
        if verdict in ("ok", "NO"):
            reasons = []
            for more in lines[number + 1 :]:
                if not more.startswith("     "):
                    break
                reasons.append(more.strip())
            show.check(requirement, verdict == "ok", "; ".join(reasons))
    show.check("make check-deploy ends well", done.returncode == 0, done.stderr.strip()[-300:] if done.returncode else "")
    variables = "Every LENSLET_ variable exists in config/default.env; secrets come by reference."
    show.check("the variables were among what was checked", any(requirement == variables and held for requirement, held, _ in show.lines))
    show.end()
