rootProject.name = "samenspraak"
