#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "cpu.h"

namespace nb = nanobind;

void bind_jpeg(nb::module_& module);
void bind_packed(nb::module_& module);
void bind_pipeline(nb::module_& module);

namespace {

constexpr const char* kIsaNames[] = {"baseline", "avx2", "avx512"};

const char* isa() { return kIsaNames[static_cast<int>(freqvision::current_isa())]; }

nb::list available_isas() {
    nb::list names;
    for (int i = 0; i <= static_cast<int>(freqvision::best_isa()); ++i) names.append(kIsaNames[i]);
    return names;
}

void set_isa(const std::string& name) {
    for (int i = 0; i <= static_cast<int>(freqvision::best_isa()); ++i) {
        if (name == kIsaNames[i]) {
            freqvision::set_isa(static_cast<freqvision::Isa>(i));
            return;
        }
    }
    throw nb::value_error(("this CPU or build has no instruction set '" + name + "'").c_str());
}

}  // namespace

NB_MODULE(_native, module) {
    // A daemon thread that decodes when the interpreter ends keeps its decoder, which is no fault of ours.
    nb::set_leak_warnings(false);
    module.doc() = "The native core. Private: use the functions of freqvision.";
    module.def("isa", &isa, "Instruction set in use.");
    module.def("available_isas", &available_isas, "Instruction sets of this CPU and build, ascending.");
    module.def("set_isa", &set_isa, nb::arg("name"), "Use another instruction set, for tests.");
    bind_jpeg(module);
    bind_packed(module);
    bind_pipeline(module);
}
