# SPDX-License-Identifier: MIT
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load

required_conan_version = ">=2.0"


class DelveCppConan(ConanFile):
    name = "delve-cpp"
    description = "How much of its space each layer of a LibTorch model fills, while it trains"
    license = "MIT"
    topics = ("libtorch", "neural-networks", "saturation", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def root(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self.root, "include", "delve", "version.hpp"))
        self.version = ".".join(re.findall(r"DELVE_VERSION_\w+ (\d+)", header))

    def export_sources(self):
        for pattern in ("LICENSE", "include/*.hpp", "cmake/FindDelveTorch.cmake"):
            copy(self, pattern, self.root, self.export_sources_folder)
        copy(self, "delve_dependencies.cmake", self.recipe_folder, self.export_sources_folder)

    # LibTorch stays the user's own: it takes part in no package_id, and CMake finds it.
    def requirements(self):
        self.requires("eigen/[>=3.3]", transitive_headers=True)
        self.requires("fmt/[>=9]", transitive_headers=True)

    def validate(self):
        check_min_cppstd(self, 17)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "include/*.hpp", self.source_folder, self.package_folder)
        modules = os.path.join(self.package_folder, "lib", "cmake", "delve")
        copy(self, "delve_dependencies.cmake", self.source_folder, modules)
        copy(self, "FindDelveTorch.cmake", os.path.join(self.source_folder, "cmake"), modules)

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "delve")
        self.cpp_info.set_property("cmake_target_name", "delve::delve")
        self.cpp_info.set_property("cmake_build_modules", ["lib/cmake/delve/delve_dependencies.cmake"])
        self.cpp_info.set_property("pkg_config_name", "delve")
        self.cpp_info.defines = ["FMT_HEADER_ONLY"]
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
