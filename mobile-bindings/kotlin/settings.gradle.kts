rootProject.name = "samenspraak"
include("terminal")
