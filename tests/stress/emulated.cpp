// The kernel as a program for another processor: maps a file where its pointers expect it, calls one
// function of the kernel, and leaves the result in the file. See tests/stress/emulated.py.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../memnets/backends/cpu/csrc/kernel.cpp"

int main(int count, char** words) {
  if (count == 2 && !std::strcmp(words[1], "vectors")) return std::puts(memnets_vectors()) < 0;
  if (count != 8) return 2;
  const int file = open(words[1], O_RDWR);
  struct stat status;
  if (file < 0 || fstat(file, &status)) return 3;
  int64_t given[5];
  for (int i = 0; i < 5; ++i) given[i] = std::strtoll(words[3 + i], nullptr, 10);
  void* place = reinterpret_cast<void*>(given[0]);
  if (mmap(place, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, file,
           0) != place)
    return 4;
  auto* problem = static_cast<memnets::Problem*>(place);
  const auto address = [](int64_t number) { return reinterpret_cast<void*>(number); };
  if (!std::strcmp(words[2], "divide"))
    std::printf("%lld\n", static_cast<long long>(memnets_divide(problem, address(given[1]))));
  else if (!std::strcmp(words[2], "forward"))
    memnets_forward(problem);
  else if (!std::strcmp(words[2], "backward"))
    memnets_backward(problem);
  else
    memnets_apply(given[1], address(given[2]), address(given[3]), given[4] >> 1, given[4] & 1);
  return 0;
}
