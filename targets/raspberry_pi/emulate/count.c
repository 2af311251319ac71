/* A plugin of qemu's user mode that counts the instructions of its guest.

       gcc -O2 -shared -fPIC -o count.so count.c
       qemu-aarch64 -plugin ./count.so PROGRAM

   Each syscall(9999) of the guest writes a line to stderr: the instructions since the guest's
   start, and the threads it has had. Threads would add to the counter without a lock: a count is
   exact where that second number is 1. A block that a signal leaves halfway counts whole.

   No package of Debian holds qemu-plugin.h. What is used of it is declared here, as "QEMU TCG
   Plugins" of QEMU 7.2's documentation has it (https://www.qemu.org/docs/, plugin API version 1);
   QEMU 9 wants version 2, which has other calls for counting. */

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))
#define MARK 9999 /* no syscall of Linux: the kernel would answer ENOSYS, and qemu does */
#define INLINE_ADD_U64 0

struct block;
typedef void on_block(uint64_t plugin, struct block *block);
typedef void on_thread(uint64_t plugin, unsigned int thread);
typedef void on_syscall(uint64_t plugin, unsigned int thread, int64_t number, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

extern void qemu_plugin_register_vcpu_init_cb(uint64_t plugin, on_thread *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t plugin, on_block *);
extern void qemu_plugin_register_vcpu_syscall_cb(uint64_t plugin, on_syscall *);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, int operation, void *counter,
                                                     uint64_t operand);

EXPORTED int qemu_plugin_version = 1;

static uint64_t instructions;
static unsigned int threads;

static void started(uint64_t plugin, unsigned int thread)
{
    (void)plugin, (void)thread;
    __atomic_add_fetch(&threads, 1, __ATOMIC_SEQ_CST);
}

/* A block runs from its first instruction to its last: one addition counts them all. */
static void translated(uint64_t plugin, struct block *block)
{
    (void)plugin;
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &instructions,
                                             qemu_plugin_tb_n_insns(block));
}

static void called(uint64_t plugin, unsigned int thread, int64_t number, uint64_t a, uint64_t b,
                   uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)plugin, (void)thread;
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == MARK)
        fprintf(stderr, "instructions: %" PRIu64 " threads: %u\n", instructions, threads);
}

EXPORTED int qemu_plugin_install(uint64_t plugin, const void *info, int count, char **arguments)
{
    (void)info, (void)count, (void)arguments;
    qemu_plugin_register_vcpu_init_cb(plugin, started);
    qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated);
    qemu_plugin_register_vcpu_syscall_cb(plugin, called);
    return 0;
}
