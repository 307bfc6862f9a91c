import time
from commands import Here
import cProfile, pstats
def test_x(here: Here) -> None:
    f=open("/tmp/cli/times","w")
    for a in (["-o","out"],["-o","out"],["-o","out2"],["-n"]):
        p=cProfile.Profile()
        t=time.time(); p.enable(); d=here("study","small.toml",*a); p.disable(); f.write(f"{a} {time.time()-t}\n")
        pstats.Stats(p,stream=f).sort_stats("cumtime").print_stats("jmlp|matplotlib.*(savefig|pyplot)",18)
    assert 0
