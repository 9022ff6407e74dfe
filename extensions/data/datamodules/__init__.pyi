from .contamination import ContaminatedElpv as ContaminatedElpv
from .contamination import ContaminatedFolder as ContaminatedFolder
from .contamination import ContaminatedMVTecAD as ContaminatedMVTecAD
from .elpv import Elpv as Elpv
from .elpv_synthetic import ElpvSynthetic as ElpvSynthetic
from .folder import Folder as Folder
from .mvtec_ad import MVTecAD as MVTecAD
from .products import Products as Products
