"""Says which installed packages have a known vulnerability: 1 where one has, else 0.

    make audit

Asks PyPI, then OSV, through pip-audit. Where neither can be reached, a line says so, and the exit
code is 0: a change must be testable without the network.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

SERVICES = ("pypi", "osv")
# What pip-audit says where the service, not a package, is at fault.
UNREACHABLE = ("ConnectionError", "Max retries exceeded", "Timeout", "ProxyError", "SSLError")
UNREACHABLE += ("Could not connect", "Service Unavailable", "HTTPError", "ServiceError")
# Identifiers that do not concern this program, each with the reason why.
IGNORED: dict[str, str] = {}


def installed() -> str:
    """Every package of this environment, pinned, as a requirements file.

    A build like 2.13.0+cpu is looked up as 2.13.0: advisories know no other.
    """
    pins = {
        f"{package.metadata['Name']}=={package.version.partition('+')[0]}\n"
        for package in distributions()
    }
    return "".join(sorted(pins))


def ask(service: str) -> "subprocess.CompletedProcess[str]":
    """Runs pip-audit over the packages of this environment."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "installed.txt"
        pins.write_text(installed(), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps"]
        command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
        command += ["--timeout", "15", "--vulnerability-service", service]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def packages(output: str) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package; None where it says nothing."""
    try:
        listed_packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return listed_packages


def faults(listed_packages: list[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability that is not in `IGNORED`."""
    return [
        f"{package['name']} {package['version']}: {fault['id']}, mended in "
        f"{', '.join(fault.get('fix_versions') or ['no version yet'])}"
        for package in listed_packages
        for fault in package.get("vulns", [])
        if not {fault["id"], *fault.get("aliases", [])} & IGNORED.keys()
    ]


def main() -> int:
    """Asks the services in turn, until one knows the packages."""
    for service in SERVICES:
        process = ask(service)
        listed_packages = packages(process.stdout)
        if listed_packages is None:
            if not any(word in process.stderr for word in UNREACHABLE):
                print(f"pip-audit failed:\n{process.stderr[-2000:]}", file=sys.stderr)
                return 1
            print(f"{service}: could not be reached")
            continue
        answered = [package for package in listed_packages if "skip_reason" not in package]
        if not answered:  # a mirror without advisories answers every question with "not found"
            print(
                f"{service}: could not be reached: it knows none of {len(listed_packages)} packages"
            )
            continue
        if lines := faults(listed_packages):
            print("\n".join([*lines, "Raise the pin and run .ci/lock."]), file=sys.stderr)
            return 1
        print(f"{service}: no known vulnerability in {len(answered)} packages")
        unknown = [package["name"] for package in listed_packages if "skip_reason" in package]
        if unknown:
            print(f"{service}: does not know {', '.join(unknown)}")
        return 0
    print("No advisory service could be reached: nothing was audited.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
