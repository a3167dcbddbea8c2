// Which of the compiled instruction sets is used.
#pragma once

namespace freqvision {

// Ascending: a CPU that has one has those before it.
enum class Isa { baseline, avx2, avx512 };

Isa best_isa();     // of this CPU
Isa current_isa();  // best_isa() unless set otherwise

// For tests and comparisons; an instruction set the CPU lacks is refused (returns false).
bool set_isa(Isa isa);

}  // namespace freqvision
