// SPDX-License-Identifier: Apache-2.0
// What may stand in a configuration: every key declared once, as a member of a plain struct, with its help
// and its limits. Reading, checking, `--set`, the resolved dump, the documentation and the JSON schema come
// from it.
//
//   struct Shape { int64_t layers = 2; double dropout = 0.0; };
//   void describe(Section<Shape>& s) {
//     s.key("layers", &Shape::layers, "Number of layers.").at_least(1);
//     s.key("dropout", &Shape::dropout, "Share of activations set to zero.").at_least(0).below(1);
//   }
//   const Schema schema = make_schema<Shape>(describe);
//
// Defaults are those of a default-constructed struct. A Schema is immutable once made: share it among
// threads.
#pragma once
#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "colossal/base/config/value.h"

namespace colossal::config {

enum class Type { boolean, integer, number, text };

// A limit of a number; open limits exclude the bound itself.
struct Limit {
  double bound;
  bool open;
};

// The key has an effect only while key `path` has one of these values (TOML text without quotes).
struct Condition {
  std::string path;
  std::vector<std::string> values;
};

struct Field {
  std::string path;  // "optimizer.learning_rate"
  std::string help;
  Type type = Type::text;
  bool is_list = false;  // a single value is taken as a list of one
  bool is_optional = false;
  bool is_required = false;
  std::string example;  // TOML text, for messages and the documentation
  std::optional<Limit> lower, upper;
  std::vector<std::string> choices;
  std::vector<std::pair<std::string, std::string>>
      synonyms;                          // wrong value -> the choice that was probably meant
  std::vector<std::string> also_called;  // names of this key elsewhere, for did-you-mean
  std::vector<std::pair<std::string, std::string>> advice;  // a key that there is not -> what to do instead
  std::optional<Condition> condition;
  std::optional<Value> fallback;  // the default; nullopt where unset
  std::string fallback_note;      // how an unset optional is filled

  std::function<void(void* root, const Value&)> write;  // of a value that has passed all checks
  std::function<std::optional<Value>(const void* root)> read;

  std::string_view section() const {
    const size_t dot = path.rfind('.');
    return dot == path.npos ? std::string_view() : std::string_view(path).substr(0, dot);
  }
  std::string_view name() const { return std::string_view(path).substr(path.rfind('.') + 1); }
};

struct TableInfo {
  std::string path;
  std::string help;
};

struct Schema {
  std::vector<TableInfo> tables;
  std::vector<Field> fields;

  const Field* find(std::string_view path) const;
  bool has_table(std::string_view path) const;

  // False when `field` has no effect beside the other values in `root`.
  bool has_effect(const Field& field, const void* root) const;
};

// Refines the key that was just declared. Valid until the next key is declared.
class Key {
 public:
  explicit Key(Field& field) : field_(field) {}
  Key& at_least(double bound) { return field_.lower = {bound, false}, *this; }
  Key& above(double bound) { return field_.lower = {bound, true}, *this; }
  Key& at_most(double bound) { return field_.upper = {bound, false}, *this; }
  Key& below(double bound) { return field_.upper = {bound, true}, *this; }
  Key& one_of(std::vector<std::string> choices) { return field_.choices = std::move(choices), *this; }
  Key& meant(std::string wrong, std::string right) {
    return field_.synonyms.emplace_back(std::move(wrong), std::move(right)), *this;
  }
  Key& required() { return field_.is_required = true, *this; }
  Key& example(std::string toml) { return field_.example = std::move(toml), *this; }
  Key& also_called(std::vector<std::string> names) { return field_.also_called = std::move(names), *this; }
  Key& instead_of(std::string missing, std::string advice) {
    return field_.advice.emplace_back(std::move(missing), std::move(advice)), *this;
  }
  Key& only_with(std::string path, std::vector<std::string> values) {
    return field_.condition = {std::move(path), std::move(values)}, *this;
  }
  Key& unset_means(std::string note) { return field_.fallback_note = std::move(note), *this; }

 private:
  Field& field_;
};

namespace detail {

template <class T>
struct Unwrap {
  using Element = T;
  static constexpr bool kOptional = false, kList = false;
};
template <class T>
struct Unwrap<std::optional<T>> : Unwrap<T> {
  static constexpr bool kOptional = true;
};
template <class T>
struct Unwrap<std::vector<T>> : Unwrap<T> {
  static constexpr bool kList = true;
};

template <class T>
constexpr Type type_of() {
  if constexpr (std::same_as<T, bool>)
    return Type::boolean;
  else if constexpr (std::same_as<T, int64_t>)
    return Type::integer;
  else if constexpr (std::same_as<T, double>)
    return Type::number;
  else {
    static_assert(std::same_as<T, std::string>, "a key is a bool, int64_t, double or std::string");
    return Type::text;
  }
}

template <class T>
Value pack(const T& value) {
  if constexpr (Unwrap<T>::kList) {
    List list;
    for (const auto& element : value) list.push_back(pack<typename Unwrap<T>::Element>(element));
    return {std::move(list), {}, {}};
  } else {
    return {value, {}, {}};
  }
}

template <class T>
T unpack(const Value& value) {
  if constexpr (Unwrap<T>::kList) {
    T list;
    for (const Value& element : *value.get<List>())
      list.push_back(unpack<typename Unwrap<T>::Element>(element));
    return list;
  } else {
    return *value.get<T>();
  }
}

enum class Access { look, create };

}  // namespace detail

// The keys of one struct, found from the root struct by `locate` (null: an optional table that is not there).
template <class S>
class Section {
 public:
  using Locate = std::function<S*(void* root, detail::Access)>;

  Section(Schema& schema, std::string path, Locate locate)
      : schema_(schema), path_(std::move(path)), locate_(std::move(locate)) {}

  // T: bool, int64_t, double, std::string, std::vector or std::optional of these.
  template <class T>
  Key key(std::string_view name, T S::*member, std::string_view help) {
    using Plain = std::conditional_t<detail::Unwrap<T>::kOptional, typename detail::Unwrap<T>::Element, T>;
    Field& field = add(name, help, detail::type_of<typename detail::Unwrap<T>::Element>());
    field.is_list = detail::Unwrap<T>::kList;
    field.is_optional = detail::Unwrap<T>::kOptional;
    const S defaults{};
    if constexpr (detail::Unwrap<T>::kOptional) {
      if ((defaults.*member).has_value()) field.fallback = detail::pack<Plain>(*(defaults.*member));
    } else {
      field.fallback = detail::pack<Plain>(defaults.*member);
    }
    field.write = [locate = locate_, member](void* root, const Value& value) {
      locate(root, detail::Access::create)->*member = detail::unpack<Plain>(value);
    };
    field.read = [locate = locate_, member](const void* root) -> std::optional<Value> {
      const S* section = locate(const_cast<void*>(root), detail::Access::look);
      if (section == nullptr) return std::nullopt;
      if constexpr (detail::Unwrap<T>::kOptional) {
        if (!(section->*member).has_value()) return std::nullopt;
        return detail::pack<Plain>(*(section->*member));
      } else {
        return detail::pack<Plain>(section->*member);
      }
    };
    return Key(field);
  }

  // An enumeration, written by name.
  template <class E>
  Key choice(std::string_view name, E S::*member, std::vector<std::pair<std::string, E>> names,
             std::string_view help) {
    Field& field = add(name, help, Type::text);
    const S defaults{};
    for (const auto& [text, value] : names) {
      field.choices.push_back(text);
      if (value == defaults.*member) field.fallback = Value{text, {}, {}};
    }
    field.write = [locate = locate_, member, names](void* root, const Value& value) {
      for (const auto& [text, enumerator] : names) {
        if (text == *value.get<std::string>()) locate(root, detail::Access::create)->*member = enumerator;
      }
    };
    field.read = [locate = locate_, member, names](const void* root) -> std::optional<Value> {
      const S* section = locate(const_cast<void*>(root), detail::Access::look);
      if (section == nullptr) return std::nullopt;
      for (const auto& [text, enumerator] : names) {
        if (enumerator == section->*member) return Value{text, {}, {}};
      }
      return std::nullopt;
    };
    return Key(field);
  }

  // A table below this one: `name = { ... }` or [section.name].
  template <class T>
  void table(std::string_view name, T S::*member, std::string_view help,
             std::type_identity_t<std::function<void(Section<T>&)>> describe) {
    schema_.tables.push_back({path_of(name), std::string(help)});
    Section<T> section(schema_, path_of(name),
                       [locate = locate_, member](void* root, detail::Access access) -> T* {
                         S* parent = locate(root, access);
                         return parent == nullptr ? nullptr : &(parent->*member);
                       });
    describe(section);
  }

  // A table that may be missing.
  template <class T>
  void table(std::string_view name, std::optional<T> S::*member, std::string_view help,
             std::type_identity_t<std::function<void(Section<T>&)>> describe) {
    schema_.tables.push_back({path_of(name), std::string(help)});
    Section<T> section(schema_, path_of(name),
                       [locate = locate_, member](void* root, detail::Access access) -> T* {
                         S* parent = locate(root, access);
                         if (parent == nullptr) return nullptr;
                         std::optional<T>& slot = parent->*member;
                         if (!slot.has_value() && access == detail::Access::create) slot.emplace();
                         return slot.has_value() ? &*slot : nullptr;
                       });
    describe(section);
  }

 private:
  std::string path_of(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }
  Field& add(std::string_view name, std::string_view help, Type type) {
    Field& field = schema_.fields.emplace_back();
    field.path = path_of(name);
    field.help = help;
    field.type = type;
    return field;
  }

  Schema& schema_;
  std::string path_;
  Locate locate_;
};

// The schema of `Root`, whose keys and tables `describe` declares.
template <class Root>
Schema make_schema(std::type_identity_t<std::function<void(Section<Root>&)>> describe) {
  Schema schema;
  Section<Root> section(schema, "", [](void* root, detail::Access) { return static_cast<Root*>(root); });
  describe(section);
  return schema;
}

}  // namespace colossal::config
