// SPDX-License-Identifier: MIT
#pragma once

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <algorithm>     // std::find_if, std::min
#include <atomic>        // std::atomic
#include <chrono>        // std::chrono
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t, std::intptr_t
#include <cwchar>        // _wcsicmp, std::wcslen
#include <filesystem>    // std::filesystem
#include <optional>      // std::optional
#include <string>        // std::string, std::wstring
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code, std::system_category
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/os_interface.hpp>
#include <delve/version.hpp>

// What os_interface.hpp declares, on Windows 10 and later. Cross-compiled and tested under Wine
// alone.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

inline constexpr bool on_windows = true;

/// UTF-16 as Windows has it; bytes that are no UTF-8 become U+FFFD.
inline std::wstring wide_text(std::string_view text) {
  const int size = static_cast<int>(text.size());
  std::wstring wide(
      static_cast<std::size_t>(::MultiByteToWideChar(CP_UTF8, 0, text.data(), size, nullptr, 0)),
      L'\0');
  ::MultiByteToWideChar(CP_UTF8, 0, text.data(), size, wide.data(), static_cast<int>(wide.size()));
  return wide;
}

inline std::string narrow_text(std::wstring_view wide) {
  const int size = static_cast<int>(wide.size());
  std::string text(static_cast<std::size_t>(::WideCharToMultiByte(CP_UTF8, 0, wide.data(), size,
                                                                  nullptr, 0, nullptr, nullptr)),
                   '\0');
  ::WideCharToMultiByte(CP_UTF8, 0, wide.data(), size, text.data(), static_cast<int>(text.size()),
                        nullptr, nullptr);
  return text;
}

inline std::filesystem::path path_of(std::string_view text) {
  return wide_text(text);
}

inline std::string text_of(const std::filesystem::path& path) {
  return narrow_text(path.wstring());
}

inline std::error_code last_error() {
  return {static_cast<int>(::GetLastError()), std::system_category()};
}

inline ::HANDLE handle_of(const OpenFile& file) {
  return reinterpret_cast<::HANDLE>(file.handle());
}

/// INVALID_HANDLE_VALUE, which some calls return for an error, and null, which others return, are
/// no file.
inline OpenFile owned(::HANDLE handle) {
  return OpenFile(handle == nullptr ? -1 : reinterpret_cast<std::intptr_t>(handle));
}

/// Others may read, write, rename and remove the file meanwhile, as they may on other systems.
inline constexpr ::DWORD share_all = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

inline OpenFile OpenFile::open(const std::string& path, FileAccess access, std::error_code& error) {
  const ::DWORD rights = access == FileAccess::Read     ? GENERIC_READ
                         : access == FileAccess::Append ? GENERIC_WRITE
                                                        : GENERIC_READ | GENERIC_WRITE;
  const ::DWORD way = access == FileAccess::Read     ? OPEN_EXISTING
                      : access == FileAccess::Append ? OPEN_ALWAYS
                                                     : CREATE_NEW;
  OpenFile file = owned(::CreateFileW(path_of(path).c_str(), rights, share_all, nullptr, way,
                                      FILE_ATTRIBUTE_NORMAL, nullptr));
  error = file.is_open() ? std::error_code() : last_error();
  if (file.is_open() && access == FileAccess::Append) static_cast<void>(file.go_to_end());
  return file;
}

inline std::error_code OpenFile::write(std::string_view bytes) const {
  constexpr std::size_t most = std::size_t{1} << 30U;  // a call takes 32 bits
  while (!bytes.empty()) {
    ::DWORD written = 0;
    const auto size = static_cast<::DWORD>(std::min(bytes.size(), most));
    if (::WriteFile(handle_of(*this), bytes.data(), size, &written, nullptr) == 0) {
      return last_error();
    }
    bytes.remove_prefix(written);
  }
  return {};
}

inline std::error_code OpenFile::read(std::string& bytes) const {
  for (;;) {
    char buffer[16384];
    ::DWORD count = 0;
    if (::ReadFile(handle_of(*this), buffer, sizeof buffer, &count, nullptr) == 0) {
      return last_error();
    }
    if (count == 0) return {};
    bytes.append(buffer, count);
  }
}

inline std::error_code OpenFile::rewind() const {
  return ::SetFilePointerEx(handle_of(*this), ::LARGE_INTEGER{}, nullptr, FILE_BEGIN) != 0
             ? std::error_code()
             : last_error();
}

inline std::int64_t OpenFile::go_to_end() const {
  ::LARGE_INTEGER place{};
  return ::SetFilePointerEx(handle_of(*this), ::LARGE_INTEGER{}, &place, FILE_END) != 0
             ? place.QuadPart
             : -1;
}

inline std::error_code OpenFile::cut(std::int64_t size) const {
  ::LARGE_INTEGER place{};
  place.QuadPart = size;
  const bool is_cut = ::SetFilePointerEx(handle_of(*this), place, nullptr, FILE_BEGIN) != 0 &&
                      ::SetEndOfFile(handle_of(*this)) != 0;
  return is_cut ? std::error_code() : last_error();
}

/// A new file has the permissions that its folder gives it, as the one before had.
inline void OpenFile::copy_permissions(const std::string& /*path*/) const {}

inline std::error_code OpenFile::flush() const {
  return ::FlushFileBuffers(handle_of(*this)) != 0 ? std::error_code() : last_error();
}

inline std::error_code OpenFile::close() noexcept {
  const ::HANDLE handle = handle_of(*this);
  handle_ = -1;
  return ::CloseHandle(handle) != 0 ? std::error_code() : last_error();
}

inline std::int64_t process_id() {
  return static_cast<std::int64_t>(::GetCurrentProcessId());
}

/// Not without a name, but gone when it is closed.
inline OpenFile nameless_file(std::string_view bytes) {
  static std::atomic<unsigned> count{0};
  std::error_code no_folder;
  std::filesystem::path folder = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) folder = L".";
  const std::filesystem::path path =
      folder / path_of(fmt::format("delve-{}-{}.tmp", process_id(), count++));
  OpenFile file = owned(
      ::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, share_all, nullptr, CREATE_ALWAYS,
                    FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, nullptr));
  if (!file.is_open()) {
    throw FileError("make the temporary file", text_of(path), last_error().message());
  }
  std::error_code error = file.write(bytes);
  if (!error) error = file.rewind();
  if (error) throw FileError("write the temporary file", text_of(path), error.message());
  return file;
}

inline std::string host_name() {
  wchar_t buffer[256] = {};
  ::DWORD size = 256;
  const bool has_name = ::GetComputerNameExW(ComputerNameDnsHostname, buffer, &size) != 0;
  return has_name ? narrow_text({buffer, size}) : "";
}

inline std::optional<std::int64_t> available_memory() {
  ::MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  if (::GlobalMemoryStatusEx(&status) == 0) return std::nullopt;
  return static_cast<std::int64_t>(std::min(status.ullAvailPhys, status.ullAvailPageFile));
}

/// With ".exe" where the name has no extension. Unlike Windows' own search it does not take what
/// lies in the current folder.
inline std::optional<std::string> find_program(const std::string& program) {
  const auto runnable = [](std::filesystem::path path) -> std::optional<std::string> {
    if (!path.has_extension()) path += L".exe";
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
    return text_of(std::filesystem::absolute(path).make_preferred());
  };
  const std::filesystem::path path = path_of(program);
  if (program.empty()) return std::nullopt;
  if (path.has_parent_path() || path.has_root_name()) return runnable(path);
  std::wstring variable(static_cast<std::size_t>(::GetEnvironmentVariableW(L"PATH", nullptr, 0)),
                        L'\0');
  variable.resize(static_cast<std::size_t>(
      ::GetEnvironmentVariableW(L"PATH", variable.data(), static_cast<::DWORD>(variable.size()))));
  std::wstring_view folders = variable;
  while (!folders.empty()) {
    const std::size_t end = std::min(folders.find(L';'), folders.size());
    const std::wstring_view folder = folders.substr(0, end);
    folders.remove_prefix(std::min(end + 1, folders.size()));
    if (folder.empty()) continue;
    if (auto found = runnable(std::filesystem::path(folder) / path)) return found;
  }
  return std::nullopt;
}

/// An argument as most programs read it out of their command line. Source: Microsoft, "main
/// function and command-line arguments", "Parsing C command-line arguments".
inline std::wstring quoted_argument(std::wstring_view argument) {
  // cmd.exe reads its own command line, and knows "/c" only without quotes.
  const bool is_plain =
      !argument.empty() && argument.find_first_of(L" \t\n\v\"") == std::wstring_view::npos;
  if (is_plain) return std::wstring(argument);
  std::wstring quoted = L"\"";
  std::size_t backslashes = 0;
  for (const wchar_t c : argument) {
    // Backslashes before a quotation mark stand for half as many.
    if (c == L'"') quoted.append(backslashes + 1, L'\\');
    backslashes = c == L'\\' ? backslashes + 1 : 0;
    quoted.push_back(c);
  }
  return quoted.append(backslashes, L'\\').append(L"\"");
}

/// This program's environment without some variables, as CreateProcess takes it.
inline std::wstring environment_without(const std::vector<std::string_view>& unset) {
  std::wstring block;
  wchar_t* const all = ::GetEnvironmentStringsW();
  for (const wchar_t* entry = all; entry != nullptr && *entry != L'\0';
       entry += std::wcslen(entry) + 1) {
    const std::wstring_view text(entry);
    const std::wstring name(text.substr(0, text.find(L'=', 1)));  // some begin with '='
    const auto is_it = [&](std::string_view other) {
      return ::_wcsicmp(name.c_str(), wide_text(other).c_str()) == 0;
    };
    if (std::find_if(unset.begin(), unset.end(), is_it) == unset.end()) {
      block.append(text).push_back(L'\0');
    }
  }
  if (all != nullptr) ::FreeEnvironmentStringsW(all);
  block.push_back(L'\0');
  return block;
}

/// A handle to the same file that a child inherits.
inline OpenFile inheritable(const OpenFile& file) {
  ::HANDLE copy = nullptr;
  const ::HANDLE self = ::GetCurrentProcess();
  ::DuplicateHandle(self, handle_of(file), self, &copy, 0, TRUE, DUPLICATE_SAME_ACCESS);
  return owned(copy);
}

/// Starts a program with these three streams, which is all that it inherits, in a job that ends
/// with it. It is suspended until it is in the job, or what it starts might escape.
/// @return the process; nothing where it could not be started, and `error` says why
inline OpenFile start_in_job(const std::filesystem::path& path, std::wstring command_line,
                             std::wstring environment, const OpenFile (&streams)[3],
                             const OpenFile& job, std::error_code& error) {
  ::HANDLE handles[3] = {handle_of(streams[0]), handle_of(streams[1]), handle_of(streams[2])};
  ::SIZE_T size = 0;
  ::InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
  std::vector<char> memory(size);
  const auto attributes = reinterpret_cast<::LPPROC_THREAD_ATTRIBUTE_LIST>(memory.data());
  ::STARTUPINFOEXW startup{};
  startup.StartupInfo.cb = sizeof startup;
  startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
  startup.StartupInfo.hStdInput = handles[0];
  startup.StartupInfo.hStdOutput = handles[1];
  startup.StartupInfo.hStdError = handles[2];
  startup.lpAttributeList = attributes;
  ::PROCESS_INFORMATION process{};
  const bool is_started =
      ::InitializeProcThreadAttributeList(attributes, 1, 0, &size) != 0 &&
      ::UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles,
                                  sizeof handles, nullptr, nullptr) != 0 &&
      ::CreateProcessW(path.c_str(), command_line.data(), nullptr, nullptr, TRUE,
                       CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT |
                           EXTENDED_STARTUPINFO_PRESENT,
                       environment.data(), nullptr, &startup.StartupInfo, &process) != 0;
  error = is_started ? std::error_code() : last_error();
  ::DeleteProcThreadAttributeList(attributes);
  if (!is_started) return {};
  ::AssignProcessToJobObject(handle_of(job), process.hProcess);
  ::ResumeThread(process.hThread);
  ::CloseHandle(process.hThread);
  return owned(process.hProcess);
}

inline ProcessEnd run_program(const std::string& path, std::vector<std::string> arguments,
                              std::string_view input, const OpenFile& output,
                              std::chrono::milliseconds limit,
                              const std::vector<std::string_view>& unset) {
  const OpenFile in = nameless_file(input);
  const OpenFile errors = nameless_file();
  std::wstring command_line = quoted_argument(wide_text(path));
  for (const std::string& argument : arguments) {
    command_line.append(L" ").append(quoted_argument(wide_text(argument)));
  }
  const OpenFile job = owned(::CreateJobObjectW(nullptr, nullptr));
  const OpenFile streams[3] = {inheritable(in), inheritable(output), inheritable(errors)};
  std::error_code error;
  const OpenFile process =
      start_in_job(path_of(path), command_line, environment_without(unset), streams, job, error);
  if (error) throw FileError("start", path, error.message());

  ProcessEnd end;
  const auto patience =
      static_cast<::DWORD>(std::min<std::int64_t>(limit.count(), std::int64_t{INFINITE} - 1));
  if (::WaitForSingleObject(handle_of(process), patience) != WAIT_OBJECT_0) {
    end.timed_out = true;
    ::TerminateJobObject(handle_of(job), 1);
    ::WaitForSingleObject(handle_of(process), INFINITE);
  }
  ::DWORD exit_code = 0;
  ::GetExitCodeProcess(handle_of(process), &exit_code);
  end.exit_code = static_cast<std::int64_t>(exit_code);
  static_cast<void>(errors.rewind());
  static_cast<void>(errors.read(end.errors));
  if (end.errors.size() > 4096) end.errors.resize(4096);
  return end;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve

#endif  // _WIN32
