// CUDA C on one thread of a processor: what kernels of this package use of it, and no more.
// A CUDA thread is a fiber that runs until it comes to a barrier, a shuffle or a vote. Which one runs next is chosen by
// the test, so that a barrier that is missing shows as another result, and one that not all threads reach is reported.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(__x86_64__) || !defined(__linux__) || defined(SHIM_UCONTEXT)
#define SHIM_USES_UCONTEXT
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time, on one thread of the system.
#define __shared__ static

struct Dim3 { unsigned int x, y, z; };
static Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

constexpr int MOST_THREADS = 1024, WARP = 32, STACK = 1 << 16;
enum State { READY, AT_BARRIER, AT_WARP, DONE };

struct Fiber {
#ifdef SHIM_USES_UCONTEXT
  ucontext_t context;
#else
  void *stack;
#endif
  State state;
  int line;
  unsigned int exchanges;
};

static Fiber fibers[MOST_THREADS];
static char *stacks;
static int current, n_threads, at_barrier, at_warp[WARP];
static uint64_t slots[2][MOST_THREADS];
static char *message;
static size_t message_size;
static void (*entry)(void **);
static void **entry_arguments;

#ifdef SHIM_USES_UCONTEXT
static ucontext_t scheduler;
static void to_scheduler() { swapcontext(&fibers[current].context, &scheduler); }
static void to_fiber() { swapcontext(&scheduler, &fibers[current].context); }
#else
// swapcontext asks the system for the signal mask, which takes twenty times as long.
extern "C" void shim_switch(void **save, void *load) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden shim_switch
.globl shim_switch
.type shim_switch, @function
shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static void *scheduler;
static void to_scheduler() { shim_switch(&fibers[current].stack, scheduler); }
static void to_fiber() { shim_switch(&scheduler, fibers[current].stack); }
#endif

static void run_fiber() {
  entry(entry_arguments);
  fibers[current].state = DONE;
  to_scheduler();
  __builtin_trap();
}

static void prepare(int number) {
  Fiber &fiber = fibers[number];
  fiber.state = READY, fiber.line = 0, fiber.exchanges = 0;
  char *bottom = stacks + static_cast<size_t>(number) * STACK;
#ifdef SHIM_USES_UCONTEXT
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = bottom, fiber.context.uc_stack.ss_size = STACK, fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_fiber, 0);
#else
  void **top = reinterpret_cast<void **>(bottom + STACK - 16);
  *top = reinterpret_cast<void *>(run_fiber);
  memset(top - 6, 0, 6 * sizeof(void *));
  fiber.stack = top - 6;
#endif
}

static void report(const char *text, int thread, int line, int other, int other_line) {
  char place[80] = "has ended";
  if (other_line) snprintf(place, sizeof place, "is at line %d", other_line);
  if (!message[0])
    snprintf(message, message_size, "%s: block (%u, %u), thread %d waits at line %d, thread %d %s", text, blockIdx.x,
             blockIdx.y, thread, line, other, place);
}

// Wait until all of `size` threads from `first` wait in the same way.
static void wait_for(State state, int &arrived, int first, int size, int line) {
  const int own = current;
  fibers[own].state = state, fibers[own].line = line;
  if (++arrived == size) {
    arrived = 0;
    for (int number = first; number < first + size; number++) {
      if (fibers[number].line != line) report("different barriers", own, line, number, fibers[number].line);
      fibers[number].state = READY;
    }
  }
  to_scheduler();
}

static void barrier(int line) { wait_for(AT_BARRIER, at_barrier, 0, n_threads, line); }

static void warp_barrier(unsigned int mask, int line) {
  const int warp = current / WARP;
  if (mask != ~0u) report("not all threads of a warp are named", current, line, current, line);
  wait_for(AT_WARP, at_warp[warp], warp * WARP, WARP, line);
}

// What the thread of a lane has; two arrays take turns, so that one barrier is enough.
template <class T>
static T exchange(unsigned int mask, T value, int lane, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle takes 8 bytes at most");
  const int own = current, begin = own / WARP * WARP;
  uint64_t *turn = slots[fibers[own].exchanges++ & 1];
  memcpy(&turn[own], &value, sizeof(T));
  warp_barrier(mask, line);
  T theirs;
  memcpy(&theirs, &turn[lane < 0 || lane >= WARP ? own : begin + lane], sizeof(T));
  return theirs;
}

static unsigned int vote(unsigned int mask, bool value, int line) {
  const int own = current, begin = own / WARP * WARP;
  uint64_t *turn = slots[fibers[own].exchanges++ & 1];
  turn[own] = value;
  warp_barrier(mask, line);
  unsigned int votes = 0;
  for (int lane = 0; lane < WARP; lane++) votes |= static_cast<unsigned int>(turn[begin + lane]) << lane;
  return votes;
}

static inline int lane() { return current % WARP; }

struct Chance {  // splitmix64
  uint64_t state;
  int below(int count) {
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return static_cast<int>((z ^ (z >> 31)) % count);
  }
};

// Reverse: the last warp first, and as far as it comes before the one before it begins.
enum Order { FORWARD, REVERSE, SHUFFLED };

static void put_in_order(int *numbers, int count, int order, Chance &chance) {
  for (int i = 0; i < count; i++) numbers[i] = order == REVERSE ? count - 1 - i : i;
  if (order == SHUFFLED)
    for (int i = count - 1; i > 0; i--) {
      const int j = chance.below(i + 1), kept = numbers[i];
      numbers[i] = numbers[j], numbers[j] = kept;
    }
}

static bool any_ready(const int *numbers, int count) {
  for (int i = 0; i < count; i++)
    if (fibers[numbers[i]].state == READY) return true;
  return false;
}

// In the order of `numbers`, each thread one step; or, warp after warp, as far as each of them comes by itself.
static bool run_block(const int *order, bool warps_run_ahead) {
  for (int number = 0; number < n_threads; number++) prepare(number);
  at_barrier = 0;
  memset(at_warp, 0, sizeof at_warp);
  for (int alive = n_threads; alive;) {
    bool has_run = false;
    for (int i = 0; i < n_threads; i++) {
      if (fibers[order[i]].state == READY) {
        current = order[i], threadIdx.x = current, has_run = true;
        to_fiber();
        if (fibers[current].state == DONE) alive--;
        if (message[0]) return false;
      }
      if (warps_run_ahead && i % WARP == WARP - 1 && any_ready(order + i + 1 - WARP, WARP)) i -= WARP;
    }
    if (has_run) continue;
    int waiting = 0, other = -1;
    while (fibers[waiting].state == DONE) waiting++;
    for (int number = 0; number < n_threads; number++)
      if (fibers[number].state != fibers[waiting].state) other = number;
    if (other < 0) other = waiting;
    const bool has_ended = fibers[other].state == DONE;
    report("a barrier that not all threads reach", waiting, fibers[waiting].line, other,
           has_ended ? 0 : fibers[other].line);
    return false;
  }
  return true;
}

// Run every block of a grid; false, and words in `text`, where a barrier is wrong.
static bool run(void (*kernel)(void **), void **arguments, const int *grid, int threads, int order, uint64_t seed,
                char *text, int text_size) {
  message = text, message_size = text_size, message[0] = 0;
  entry = kernel, entry_arguments = arguments, n_threads = threads;
  if (threads < 1 || threads > MOST_THREADS || threads % WARP) {
    snprintf(text, text_size, "%d threads are not whole warps of 32, up to 1024", threads);
    return false;
  }
  if (!stacks) {
    void *memory = mmap(nullptr, static_cast<size_t>(MOST_THREADS) * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      snprintf(text, text_size, "no memory for the fibers' stacks");
      return false;
    }
    stacks = static_cast<char *>(memory);
  }
  gridDim = {static_cast<unsigned>(grid[0]), static_cast<unsigned>(grid[1]), 1};
  blockDim = {static_cast<unsigned>(threads), 1, 1};
  Chance chance{seed};
  int numbers[MOST_THREADS];
  const long blocks = static_cast<long>(grid[0]) * grid[1];
  for (long i = 0; i < blocks; i++) {
    const long block = order == REVERSE ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(block % grid[0]), static_cast<unsigned>(block / grid[0]), 0};
    put_in_order(numbers, threads, order, chance);
    if (!run_block(numbers, order == REVERSE)) return false;
  }
  return true;
}

// Call a kernel with the arguments that an array points to, as cuLaunchKernel does.
template <int... PLACE> struct Places {};
template <int N, int... PLACE> struct Count : Count<N - 1, N - 1, PLACE...> {};
template <int... PLACE> struct Count<0, PLACE...> { using type = Places<PLACE...>; };

template <class... A, int... PLACE>
static void call(void (*kernel)(A...), void **arguments, Places<PLACE...>) {
  kernel(*static_cast<A *>(arguments[PLACE])...);
}
template <class... A>
static void call(void (*kernel)(A...), void **arguments) {
  call(kernel, arguments, typename Count<sizeof...(A)>::type());
}
template <class... A>
static int bytes_of_arguments(void (*)(A...), int *sizes) {
  const int all[] = {static_cast<int>(sizeof(A))..., 0};
  memcpy(sizes, all, sizeof...(A) * sizeof(int));
  return sizeof...(A);
}

}  // namespace shim

// The library of one kernel.
#define SHIM_KERNEL(name)                                                                                      \
  extern "C" int shim_arguments(int *sizes) { return shim::bytes_of_arguments(name, sizes); }                  \
  extern "C" int shim_run(void **arguments, const int *grid, int threads, int order, uint64_t seed, char *text, \
                          int size) {                                                                          \
    return shim::run([](void **given) { shim::call(name, given); }, arguments, grid, threads, order, seed, text, size); \
  }

#define __syncthreads() shim::barrier(__LINE__)
#define __syncwarp() shim::warp_barrier(~0u, __LINE__)
#define __shfl_sync(mask, value, from) shim::exchange(mask, value, from, __LINE__)
#define __shfl_xor_sync(mask, value, other) shim::exchange(mask, value, shim::lane() ^ (other), __LINE__)
#define __shfl_up_sync(mask, value, by) shim::exchange(mask, value, shim::lane() - (by), __LINE__)
#define __shfl_down_sync(mask, value, by) shim::exchange(mask, value, shim::lane() + (by), __LINE__)
#define __ballot_sync(mask, value) shim::vote(mask, value, __LINE__)
#define __any_sync(mask, value) (shim::vote(mask, value, __LINE__) != 0)
#define __all_sync(mask, value) (shim::vote(mask, value, __LINE__) == ~0u)

template <class T>
static inline T atomicAdd(T *place, T value) {
  const T before = *place;
  *place = before + value;
  return before;
}
template <class T>
static inline T atomicMin(T *place, T value) {
  const T before = *place;
  if (value < before) *place = value;
  return before;
}
template <class T>
static inline T atomicMax(T *place, T value) {
  const T before = *place;
  if (value > before) *place = value;
  return before;
}

// Compiled with -ffp-contract=off, so that an operation is an operation.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline float __double2float_rn(double a) { return static_cast<float>(a); }
static inline float __double2float_ru(double a) {
  const float nearest = static_cast<float>(a);
  return nearest < a ? nextafterf(nearest, INFINITY) : nearest;
}

template <class To, class From>
static inline To shim_bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "bits of another size");
  To bits;
  memcpy(&bits, &value, sizeof(To));
  return bits;
}
static inline unsigned int __float_as_uint(float value) { return shim_bits<unsigned int>(value); }
static inline int __float_as_int(float value) { return shim_bits<int>(value); }
static inline float __uint_as_float(unsigned int bits) { return shim_bits<float>(bits); }
static inline float __int_as_float(int bits) { return shim_bits<float>(bits); }
static inline long long __double_as_longlong(double value) { return shim_bits<long long>(value); }
static inline double __longlong_as_double(long long bits) { return shim_bits<double>(bits); }
static inline int __popc(unsigned int value) { return __builtin_popcount(value); }
static inline int __ffs(int value) { return __builtin_ffs(value); }
