// testing_templates, which tests compare with its twins: a table of templates and what one track does.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "atlascore/base/region.hpp"
#include "atlascore/track/prompt_use.hpp"
#include "atlascore/track/template_hash.hpp"
#include "atlascore/track/template_table.hpp"
#include "bindings.hpp"

namespace py = pybind11;

namespace atlascore::bindings {
namespace {

constexpr std::uint64_t capacity = 1000;

std::uint64_t hash(const py::bytes& text, std::uint64_t seed) {
    static track::TemplateScratch scratch;  // one thread tests
    return track::template_hash(std::string_view(text), seed, scratch);
}

// The grams of a text's outline.
std::vector<std::uint64_t> outline(const py::bytes& text, std::uint64_t seed) {
    track::TemplateScratch scratch;
    track::Outline found;
    track::template_hash(std::string_view(text), seed, scratch, &found);
    const auto end = std::find(found.grams.begin(), found.grams.end(), ~std::uint64_t{0});
    return {found.grams.begin(), end};
}

// The hash of what two texts share.
std::optional<std::uint64_t> shared_template(const py::bytes& before, const py::bytes& text,
                                             std::uint64_t seed) {
    track::TemplateScratch scratch;
    track::Outline first, second;
    track::template_hash(std::string_view(before), seed, scratch, &first);
    track::template_hash(std::string_view(text), seed, scratch, &second);
    const auto grams = track::shared_grams(second, track::marks_of(first));
    return grams ? std::optional(track::template_hash(*grams, seed)) : std::nullopt;
}

base::RegionSpec region_spec() {
    base::RegionSpec spec;
    spec.section_bytes = track::TemplateTable::section_bytes(capacity);
    spec.seed = 1;
    return spec;
}

struct TemplateReplay {
    base::Region region{region_spec()};
    track::TemplateTable table{region, 0, capacity};
    track::PromptUse use{};

    // The hash of the template; `principal` 0 for one that is not young.
    std::uint64_t visit(std::uint64_t prompt, std::uint64_t principal, double now) {
        const auto found = table.visit(prompt, table.find(prompt), now);
        if (principal != 0) table.add_young(found, principal, now);
        return found.hash;
    }
    double young(std::uint64_t prompt, double now) const { return table.young(table.find(prompt), 0, now); }
};

}  // namespace

void bind_templates(py::module_& m) {
    py::class_<TemplateReplay>(m, "testing_templates")
        .def(py::init())
        .def_static("hash", &hash)
        .def_static("outline", &outline)
        .def_static("shared_template", &shared_template)
        .def("visit", &TemplateReplay::visit)
        .def("young", &TemplateReplay::young)
        .def("add_template", [](TemplateReplay& self, std::uint64_t name, double window,
                                double now) { self.use.add_template(name, window, now); })
        .def("template_share",
             [](const TemplateReplay& self, double now) { return self.use.template_share(now); })
        .def("add_probe",
             [](TemplateReplay& self, std::uint32_t entry, double now) { self.use.add_probe(entry, now); })
        .def("known_probes", [](const TemplateReplay& self, const std::vector<std::uint16_t>& families,
                                double now) { return self.use.known_probes(families, now); });
}

}  // namespace atlascore::bindings
