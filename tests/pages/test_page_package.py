import configparser
import subprocess
import sys
from pathlib import Path

import temzoo
from temzoo import pages

ROOT = Path(temzoo.__file__).parents[1]


def test_style_and_script_are_installed_with_the_package():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert "temzoo.pages" in settings["options"]["packages"].split()
    files = settings["options.package_data"].get("temzoo.pages", "").split()
    own = {p.name for p in Path(pages.__file__).parent.iterdir() if p.suffix in (".css", ".js")}
    assert {f"*{Path(name).suffix}" for name in own} <= set(files)


def test_a_report_of_predictions_needs_no_tensorflow():
    code = "import sys, temzoo.pages; print({'tensorflow', 'keras', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_public_name():
    assert temzoo.write_report is pages.write_report
