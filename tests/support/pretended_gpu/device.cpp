// A CUDA device for a CPU build of torch: its tensors lie in host memory under a CUDA device, and the
// CPU's kernels compute them. What a GPU refuses it refuses (tensors of two devices in one operation,
// the numpy array of a device tensor, a generator of another device), it counts what a GPU would be
// asked to do and waited for, and it can lack memory or break. It knows no kernels of its own, no
// asynchrony and no speed.
//
// Loaded before torch's Python side, which asks for the hooks once and keeps the answer.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>

using namespace at;

namespace {

constexpr DeviceType TYPE = DeviceType::CUDA;
int64_t devices = 1;      // how many there are
int64_t room = 0;         // bytes that each holds; 0 for no limit
int64_t lifetime = 0;     // operations until the context breaks; 0 for never
thread_local DeviceIndex current = 0;

Device whole(Device device) { return device.has_index() ? device : Device(TYPE, current); }

// --- what was done ---------------------------------------------------------------------------------

std::mutex mutex;
std::map<std::string, int64_t> launches, waits;
std::atomic<int64_t> live{0}, operations{0};

bool counting = true;

void note(std::map<std::string, int64_t>& where, const std::string& what) {
  if (!counting) return;
  std::lock_guard<std::mutex> lock(mutex);
  where[what]++;
}

// --- devices, streams ------------------------------------------------------------------------------

struct Guard final : c10::impl::DeviceGuardImplInterface {
  DeviceType type() const override { return TYPE; }
  Device getDevice() const override { return {TYPE, current}; }
  void setDevice(Device device) const override { current = whole(device).index(); }
  void uncheckedSetDevice(Device device) const noexcept override { current = whole(device).index(); }
  Device exchangeDevice(Device device) const override {
    const Device before = getDevice();
    setDevice(device);
    return before;
  }
  DeviceIndex deviceCount() const noexcept override { return static_cast<DeviceIndex>(devices); }
  // all work is done in its turn, so there is one stream
  Stream getStream(Device device) const override { return Stream(Stream::DEFAULT, whole(device)); }
  Stream getDefaultStream(Device device) const override { return getStream(device); }
  Stream getStreamFromGlobalPool(Device device, bool) const override { return getStream(device); }
  Stream getNewStream(Device device, int) const override { return getStream(device); }
  Stream exchangeStream(Stream stream) const override { return getStream(stream.device()); }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void synchronizeDevice(const DeviceIndex) const override {}
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  void recordDataPtrOnStream(const DataPtr&, const Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

// --- memory ----------------------------------------------------------------------------------------

struct Memory final : c10::DeviceAllocator {
  static constexpr size_t HEAD = 64;  // before each block: its size, and room for alignment

  DataPtr allocate(size_t size) override {
    if (room && live + static_cast<int64_t>(size) > room)
      TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate ", size,
                       " bytes. GPU ", static_cast<int>(current), " has a total capacity of ", room, " bytes (pretended)");
    auto* block = static_cast<char*>(c10::alloc_cpu(size + HEAD));
    *reinterpret_cast<int64_t*>(block) = static_cast<int64_t>(size);
    live += static_cast<int64_t>(size);
    return {block + HEAD, block, &release, Device(TYPE, current)};
  }
  static void release(void* block) {
    live -= *static_cast<int64_t*>(block);
    c10::free_cpu(block);
  }
  DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }
  bool initialized() override { return true; }
  void emptyCache(MempoolId_t) override {}
  void recordStream(const DataPtr&, Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex) override { return {}; }
  void resetAccumulatedStats(DeviceIndex) override {}
  void resetPeakStats(DeviceIndex) override {}
  std::pair<size_t, size_t> getMemoryInfo(DeviceIndex) override {
    const int64_t all = room ? room : int64_t{100} << 30;
    return {static_cast<size_t>(all - live), static_cast<size_t>(all)};
  }
};
Memory memory;
REGISTER_ALLOCATOR(TYPE, &memory)

// --- random numbers --------------------------------------------------------------------------------

struct Draws final : c10::GeneratorImpl {  // the CPU's numbers, under the device's name
  explicit Draws(DeviceIndex index)
      : GeneratorImpl(whole({TYPE, index}), DispatchKeySet(DispatchKey::CUDA)), inner(at::detail::createCPUGenerator()) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return inner.unsafeGetGeneratorImpl()->get_state(); }
  // what a graph registers: here both generators draw from one state
  void graphsafe_set_state(const c10::intrusive_ptr<GeneratorImpl>& state) override {
    inner = static_cast<Draws*>(state.get())->inner;
  }
  c10::intrusive_ptr<GeneratorImpl> graphsafe_get_state() const override {
    auto shared = c10::make_intrusive<Draws>(device().index());
    shared->inner = inner;
    return shared;
  }
  Draws* clone_impl() const override {
    auto* copy = new Draws(device().index());
    copy->inner = inner.clone();
    return copy;
  }
  Generator inner;
};

struct Hooks final : CUDAHooksInterface {
  explicit Hooks(CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return devices > 0; }
  bool hasCUDA() const override { return devices > 0; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return static_cast<DeviceIndex>(devices); }
  int getNumGPUs() const override { return static_cast<int>(devices); }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex index) const override { current = index; }
  DeviceIndex exchangeDevice(DeviceIndex index) const override {
    const DeviceIndex before = current;
    if (index >= 0) current = index;
    return before;
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override { return exchangeDevice(index); }
  Device getDeviceFromPtr(void*) const override { return {TYPE, current}; }
  Allocator* getPinnedMemoryAllocator() const override { return getCPUAllocator(); }
  Allocator* getCUDADeviceAllocator() const override { return &memory; }
  Generator getNewGenerator(DeviceIndex index) const override { return make_generator<Draws>(index); }
  const Generator& getDefaultGenerator(DeviceIndex index) const override {
    static std::vector<Generator> all = [] {
      std::vector<Generator> made;
      for (DeviceIndex i = 0; i < devices; ++i) made.push_back(make_generator<Draws>(i));
      return made;
    }();
    return all.at(index < 0 ? current : index);
  }
};
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, Hooks)

// --- tensors ---------------------------------------------------------------------------------------

const DispatchKeySet KEYS(DispatchKey::CUDA);

Tensor empty(IntArrayRef size, std::optional<ScalarType> dtype, std::optional<Layout>,
             std::optional<Device> device, std::optional<bool>, std::optional<MemoryFormat> format) {
  c10::OptionalDeviceGuard guard(device);
  return Tensor(at::detail::empty_generic(size, &memory, KEYS, dtype_or_default(dtype), format));
}

Tensor empty_strided(IntArrayRef size, IntArrayRef stride, std::optional<ScalarType> dtype,
                     std::optional<Layout>, std::optional<Device> device, std::optional<bool>) {
  c10::OptionalDeviceGuard guard(device);
  return Tensor(at::detail::empty_strided_generic(size, stride, &memory, KEYS, dtype_or_default(dtype)));
}

Tensor on_cpu(const Tensor& tensor) {  // the same memory, as a tensor of the CPU
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  const auto options = tensor.options().device(kCPU).requires_grad(false);
  if (tensor.numel() == 0) return at::empty_strided(tensor.sizes(), tensor.strides(), options);
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, options);
}

Tensor on_gpu(const Tensor& tensor, Device device) {  // a copy of what the CPU computed
  if (!tensor.defined() || !tensor.is_cpu()) return tensor;
  c10::DeviceGuard guard(device);
  Tensor made(at::detail::empty_strided_generic(tensor.sizes(), tensor.strides(), &memory, KEYS, tensor.scalar_type()));
  if (tensor.numel())
    std::memcpy(made.mutable_data_ptr(), tensor.const_data_ptr(),
                at::detail::computeStorageNbytes(tensor.sizes(), tensor.strides(), tensor.element_size()));
  return made;
}

void check_alive() {
  const bool broken = lifetime && ++operations > lifetime;
  TORCH_CHECK(!broken, "CUDA error: an illegal memory access was encountered (pretended)");
}

Tensor& copy_(Tensor& self, const Tensor& from, bool non_blocking) {
  check_alive();
  if (self.numel() && self.is_cuda() != from.is_cuda() && !(non_blocking && self.is_cuda()))
    note(waits, self.is_cuda() ? "copy to the device" : "copy to the host");
  else
    note(launches, "aten::copy_");
  on_cpu(self).copy_(on_cpu(from));
  return self;
}

Tensor& set_(Tensor& self, Storage source, int64_t offset, IntArrayRef size, IntArrayRef stride) {
  return at::native::set_storage_cpu_(self, std::move(source), offset, size, stride);
}

// --- all other operations --------------------------------------------------------------------------

template <class F>
void each_tensor(const c10::IValue& value, const F& f) {
  if (value.isTensor()) return f(value.toTensor());
  if (!value.isList()) return;
  for (const c10::IValue& one : value.toListRef())
    if (one.isTensor()) f(one.toTensor());
}

template <class F>
c10::IValue with_tensors(const c10::IValue& value, const F& f) {
  if (value.isTensor()) return f(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> all;
    for (const Tensor& one : value.toTensorVector()) all.push_back(f(one));
    return all;
  }
  bool some = false;
  each_tensor(value, [&](const Tensor&) { some = true; });
  if (!some) return value;
  c10::List<std::optional<Tensor>> all;  // indices, some of which may be missing
  for (const c10::IValue& one : value.toListRef())
    all.push_back(one.isTensor() ? std::optional<Tensor>(f(one.toTensor())) : std::nullopt);
  return all;
}

// The one device of an operation's tensors. Numbers (0-dim tensors of the CPU) and indices may stay on the host.
std::optional<Device> device_of(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments) {
  std::optional<Device> device;
  std::string host;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = schema.arguments()[i];
    const bool written = argument.alias_info() && argument.alias_info()->isWrite();
    each_tensor(arguments[i], [&](const Tensor& tensor) {
      if (!tensor.defined()) return;
      if (tensor.is_cpu()) {
        if (argument.name() == "indices") note(waits, "indices of the host");
        else if (tensor.dim() || written) host = argument.name();
        return;
      }
      TORCH_CHECK(!device || *device == tensor.device(), "Expected all tensors to be on the same device, but got ",
                  argument.name(), " on ", tensor.device(), " and others on ", *device, " (", schema.name(), ")");
      device = tensor.device();
    });
  }
  TORCH_CHECK(host.empty(), "Expected all tensors to be on the same device, but got ", host, " on cpu and others on ",
              device ? device->str() : "a generator of cuda", " (", schema.name(), ")");
  return device;
}

bool reads_its_size(const std::string& name) {
  for (const char* one : {"aten::nonzero", "aten::_unique2", "aten::unique_dim", "aten::masked_select", "aten::equal", "aten::bincount"})
    if (name == one) return true;
  return false;
}

void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check_alive();
  const auto& schema = op.schema();
  const auto count = schema.arguments().size();
  const std::vector<c10::IValue> arguments(stack->end() - count, stack->end());
  const auto found = device_of(schema, arguments);
  Device device = found.value_or(Device(TYPE, current));
  std::vector<std::pair<Tensor, Tensor>> written;  // the device's, and what the CPU writes
  for (size_t i = 0; i < count; ++i) {
    auto& argument = (*stack)[stack->size() - count + i];
    const auto* alias = schema.arguments()[i].alias_info();
    if (argument.isDevice()) {
      if (!found) device = whole(argument.toDevice());
      argument = Device(kCPU);
    } else if (argument.isGenerator()) {
      TORCH_CHECK(argument.toGenerator().device().type() == TYPE, "Expected a 'cuda' device type for generator but found '",
                  argument.toGenerator().device().type(), "'");
      argument = static_cast<Draws*>(argument.toGenerator().unsafeGetGeneratorImpl())->inner;
    } else {
      argument = with_tensors(argument, [&](const Tensor& tensor) {
        Tensor host = on_cpu(tensor);
        if (alias && alias->isWrite() && tensor.defined()) written.emplace_back(tensor, host);
        return host;
      });
    }
  }
  if (schema.name() == "aten::_local_scalar_dense") note(waits, "a number read");
  else note(reads_its_size(schema.name()) ? waits : launches, schema.name());
  {
    at::AutoDispatchBelowADInplaceOrView below;
    op.redispatchBoxed(DispatchKeySet(DispatchKey::CPU), stack);
  }
  for (auto& [own, host] : written)
    if (own.sizes() != host.sizes()) {  // an output that was resized
      own.resize_(host.sizes());
      on_cpu(own).copy_(host);
    }
  const auto results = schema.returns().size();
  for (size_t i = 0; i < results; ++i) {
    auto& result = (*stack)[stack->size() - results + i];
    const auto* alias = schema.returns()[i].alias_info();
    if (!alias) {
      result = with_tensors(result, [&](const Tensor& tensor) { return on_gpu(tensor, device); });
      continue;
    }
    bool known = false;
    for (size_t k = 0; k < count && !known; ++k) {
      const auto* of = schema.arguments()[k].alias_info();
      known = of && of->isWrite() && of->beforeSets() == alias->beforeSets();
      if (known) result = arguments[k];
    }
    TORCH_CHECK(known, "the pretended GPU has no kernel for the view ", schema.name());
  }
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("unfold", TORCH_FN(at::native::unfold));
  m.impl("set_.source_Storage_storage_offset", &set_);
  m.impl("resize_", TORCH_FN(at::native::resize_));
  m.impl("copy_", &copy_);
  // composite elsewhere, where they would ask for kernels of CUDA or of a device guard
  for (const char* name : {"index.Tensor", "convolution", "convolution_backward"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}
TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>()); }

}  // namespace

extern "C" {
void pretended_configure(int64_t count, int64_t bytes, int64_t operations_until_it_breaks) {
  devices = count, room = bytes, lifetime = operations_until_it_breaks;
}
void pretended_count(bool whether) { counting = whether; }
void pretended_note_launch(const char* what) { note(launches, what); }
int64_t pretended_live() { return live; }
void pretended_reset() {
  std::lock_guard<std::mutex> lock(mutex);
  launches.clear(), waits.clear();
}
// "launch\tname\tcount\n" and "wait\t..." lines; false if they do not fit into `size` bytes.
bool pretended_counts(char* out, int64_t size) {
  std::lock_guard<std::mutex> lock(mutex);
  std::string text;
  for (const auto& [name, count] : launches) text += "launch\t" + name + "\t" + std::to_string(count) + "\n";
  for (const auto& [name, count] : waits) text += "wait\t" + name + "\t" + std::to_string(count) + "\n";
  if (static_cast<int64_t>(text.size()) >= size) return false;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return true;
}
}
