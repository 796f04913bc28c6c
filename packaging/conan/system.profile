# A machine whose Eigen and fmt are its own: `conan create packaging/conan --profile:all default
# --profile:host packaging/conan/system.profile`. The versions need only be within the recipe's.
[platform_requires]
eigen/3.4.0
fmt/9.1.0
