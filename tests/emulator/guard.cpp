// A device guard for CUDA that does nothing, for a torch without CUDA: fake tensors of a GPU need one.
#include <c10/core/impl/DeviceGuardImplInterface.h>

C10_REGISTER_GUARD_IMPL(CUDA, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA>);
